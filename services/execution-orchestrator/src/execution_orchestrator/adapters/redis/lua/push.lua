-- Adds hints at the tail of one queue, each at most once. Returns how many were added.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]
--                the hints `namespace|execution_id|task_id|item|task_type`, the next one at the head;
--                its LLEN is the number of jobs waiting, and is what users and autoscalers look at
-- KEYS[2]  ZSET  {KEYS[1]}:members
--                the same hints; the score is when each was added, in ms since 1970 by this server's TIME
-- ARGV     the hints, at most 1,000 a call
--
-- Only push.lua and pop.lua write the two keys, so their sizes are equal. Where they are not, somebody deleted,
-- evicted or edited one of them: the list is what workers take from, so the members are made anew from it (and
-- doubles leave the list). Hints that the list had lost count as absent then, and can be pushed again.
--
-- Needs Redis 7 or Valkey. The braces in KEYS[2] hash it to the slot of KEYS[1], so a Redis Cluster runs it too.

local list, members = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local CHUNK = 1000

local function append(hints, scores)
  for first = 1, #hints, CHUNK do
    local last = math.min(first + CHUNK - 1, #hints)
    local scored = {}
    for i = first, last do
      scored[#scored + 1] = scores[i]
      scored[#scored + 1] = hints[i]
    end
    redis.call('RPUSH', list, unpack(hints, first, last))
    redis.call('ZADD', members, unpack(scored))
  end
end

local function rebuild()
  local hints, scores, seen = {}, {}, {}
  for first = 0, redis.call('LLEN', list) - 1, CHUNK do
    local chunk = redis.call('LRANGE', list, first, first + CHUNK - 1)
    local known = redis.call('ZMSCORE', members, unpack(chunk))
    for i, hint in ipairs(chunk) do
      if not seen[hint] then
        seen[hint] = true
        hints[#hints + 1] = hint
        scores[#scores + 1] = known[i] or now
      end
    end
  end
  redis.call('UNLINK', list, members)
  append(hints, scores)
end

if redis.call('LLEN', list) ~= redis.call('ZCARD', members) then
  rebuild()
end

local added = {}
for _, hint in ipairs(ARGV) do
  if redis.call('ZADD', members, 'NX', now, hint) == 1 then
    added[#added + 1] = hint
  end
end
for first = 1, #added, CHUNK do
  redis.call('RPUSH', list, unpack(added, first, math.min(first + CHUNK - 1, #added)))
end
return #added
