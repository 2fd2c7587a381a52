-- Takes a lock that is free, or prolongs one that is the caller's. Returns 1 where the caller has it, else 0.
--
-- KEYS[1]  STRING  workflow:lock:<duty>   the token of who has it; expires by itself
-- ARGV[1]  the caller's token
-- ARGV[2]  its time to live in ms

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
return 0
