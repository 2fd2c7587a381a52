-- Records the task types that live workers offer in one namespace, for some time.
--
-- KEYS[1]  ZSET  workflow:worker:task-types:<namespace>
--                the types; the score is the time until which the offer holds, in ms since 1970 by this server's TIME
-- ARGV[1]  how long the offer holds, in ms
-- ARGV[2]  and further: the types, at most 1,000 in a call
--
-- An offer extends the time of a type, and never shortens it. So orchestrators need not know of each other. This
-- script removes offers whose time is over, and a namespace that nobody serves expires as a whole.
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
