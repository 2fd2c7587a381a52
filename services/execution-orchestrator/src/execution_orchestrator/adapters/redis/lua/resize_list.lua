-- Makes the list of a queue as long as its set of members is. Returns the difference that is left for the next call.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]   one element for each job that waits (see push.lua)
-- KEYS[2]  ZSET  {KEYS[1]}:members                   every hint of the queue, by when it was added
-- ARGV[1]  how many elements to add or to remove at most, so that one call is short

local list, members, limit = KEYS[1], KEYS[2], tonumber(ARGV[1])
local missing = redis.call('ZCARD', members) - redis.call('LLEN', list)
if missing > 0 then
  local texts = {}
  for i = 1, math.min(missing, limit, 5000) do
    texts[i] = 'job'
  end
  redis.call('RPUSH', list, unpack(texts))
elseif missing < 0 then
  redis.call('LPOP', list, math.min(-missing, limit))
end
return redis.call('ZCARD', members) - redis.call('LLEN', list)
