-- Returns the task types that live workers offer in one namespace.
--
-- KEYS[1]  ZSET  workflow:worker:task-types:<namespace>
--                the types; the score is the time until which the offer holds, in ms since 1970 by this server's TIME
--
-- Needs Redis 7 or Valkey; one key, so a Redis Cluster runs it too.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
