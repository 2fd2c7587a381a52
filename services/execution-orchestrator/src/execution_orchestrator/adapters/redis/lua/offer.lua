-- Notes which task types live workers offer in one namespace, for some time.
--
-- KEYS[1]  ZSET  workflow:worker:task-types:<namespace>
--                the types; the score is until when the offer is trusted, in ms since 1970 by this server's TIME
-- ARGV[1]  for how long the offer is trusted, in ms
-- ARGV[2]  and on: the types, at most 1,000 a call
--
-- Whoever offers a type prolongs it, and nobody shortens it or takes it away: of several orchestrators none needs
-- to know of the others. What is not trusted any more is removed here, and a namespace that nobody serves expires as a whole.
--
-- Needs Redis 7 or Valkey; one key, so a Redis Cluster runs it too.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local trust = tonumber(ARGV[1])
local scored = {}
for i = 2, #ARGV do
  scored[#scored + 1] = string.format('%.0f', now + trust)
  scored[#scored + 1] = ARGV[i]
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], 'GT', unpack(scored))
redis.call('PEXPIREAT', KEYS[1], redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
return #ARGV - 1
