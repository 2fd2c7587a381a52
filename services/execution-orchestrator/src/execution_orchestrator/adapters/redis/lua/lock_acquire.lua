-- Takes a lock that is free, or extends it if the caller has it. Returns 1 if the caller has it now, else 0.
--
-- KEYS[1]  STRING  workflow:lock:<duty>   the token of the owner; it expires
-- ARGV[1]  the caller's token
-- ARGV[2]  its time to live in ms

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
return 0
