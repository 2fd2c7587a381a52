-- Gives a lock up if the caller has it. Returns 1 if the caller had it, else 0.
--
-- KEYS[1]  STRING  workflow:lock:<duty>   the token of the owner; it expires
-- ARGV[1]  the caller's token

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
