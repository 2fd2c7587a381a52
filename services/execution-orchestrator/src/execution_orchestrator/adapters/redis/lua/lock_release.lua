-- Gives up a lock that is the caller's. Returns 1 where it was, else 0.
--
-- KEYS[1]  STRING  workflow:lock:<duty>   the token of who has it; expires by itself
-- ARGV[1]  the caller's token

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
