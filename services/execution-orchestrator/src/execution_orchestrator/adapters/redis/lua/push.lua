-- Adds hints to one queue, each at most once. Returns how many its orders did not hold.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]
--                one element for each job that waits; its LLEN is what users and autoscalers read. The text of an
--                element is the hint that it was pushed with; hints of several kinds leave in another order than
--                elements do, so only the number of the elements means anything
-- KEYS[2]  ZSET  {KEYS[1]}:members
--                every hint of the queue; the score is when it was added, in ms since 1970 by this server's TIME
-- KEYS[3]  ZSET  {KEYS[1]}:kinds
--                the kinds that have hints; the score is that of the first hint in their order
-- and the orders of the kinds (see kinds.lua); here the score is when the hint was added, as in KEYS[2]
-- ARGV     the hints, at most 1,000 a call
--
-- Every hint gets a score of its own, above all scores of the queue, so that hints leave in the order in which
-- they came. If somebody deleted or edited one of the keys, a push of a hint repairs everything about that hint,
-- and the hint keeps its age if any of the keys still knows it.

local list, members, kinds = KEYS[1], KEYS[2], KEYS[3]

-- The hints of each kind, without doubles, and the scores that `members` knows.
local by_kind, scores = {}, {}
for i, score in ipairs(redis.call('ZMSCORE', members, unpack(ARGV))) do
  local hint = ARGV[i]
  local kind = kind_of(hint)
  if kind and scores[hint] == nil then
    scores[hint] = score
    by_kind[kind] = by_kind[kind] or {}
    table.insert(by_kind[kind], hint)
  end
end

-- What the orders lack, and the scores that only an order knows.
local lacking, added = {}, 0
for kind, hints in pairs(by_kind) do
  for i, score in ipairs(redis.call('ZMSCORE', order_key(list, kind), unpack(hints))) do
    local hint = hints[i]
    lacking[hint] = not score
    added = added + (score and 0 or 1)
    if score and not scores[hint] then
      scores[hint] = score
    end
  end
end

-- The next free score, counted in whole microseconds: sums of fractions of a ms would meet.
local time = redis.call('TIME')
local last = redis.call('ZREVRANGE', members, 0, 0, 'WITHSCORES')[2]
local next_us = math.max(time[1] * 1000000 + time[2], last and math.floor(last * 1000 + 0.5) + 1 or 0)
local scored, is_noted = {}, {}
for _, hint in ipairs(ARGV) do
  if scores[hint] == false then
    scores[hint] = string.format('%.0f.%03d', math.floor(next_us / 1000), next_us % 1000)
    next_us = next_us + 1
  end
  if scores[hint] and not is_noted[hint] then
    is_noted[hint] = true
    table.insert(scored, scores[hint])
    table.insert(scored, hint)
  end
end
if #scored == 0 then
  return 0
end

local missing = redis.call('ZADD', members, 'NX', unpack(scored))
if missing > 0 then
  redis.call('RPUSH', list, unpack(ARGV, 1, missing))
end
for kind, hints in pairs(by_kind) do
  local fresh = {}
  for _, hint in ipairs(hints) do
    if lacking[hint] then
      table.insert(fresh, scores[hint])
      table.insert(fresh, hint)
    end
  end
  if #fresh > 0 then
    redis.call('ZADD', order_key(list, kind), unpack(fresh))
  end
  note_first(list, kinds, kind)
end
return added
