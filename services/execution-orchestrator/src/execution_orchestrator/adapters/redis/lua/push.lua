-- Adds hints to one queue, each at most once. Returns how many its orders did not hold.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]
--                one element for each job that waits; users and autoscalers read its LLEN. The text of an
--                element is the hint that it was pushed with; hints of several kinds leave in another order than
--                elements do, so only the number of the elements means anything
-- KEYS[2]  ZSET  {KEYS[1]}:members
--                every hint of the queue; the score is when it was added, in ms since 1970 by this server's TIME
-- KEYS[3]  ZSET  {KEYS[1]}:kinds
--                the kinds that have hints; the score of a kind is the score of its first hint
-- and the orders of the kinds (see kinds.lua); here the score is when the hint was added, as in KEYS[2]
-- ARGV     the hints, at most 1,000 in a call
--
-- Every hint gets a score of its own, above all scores of the queue, so that hints leave in the order in which
-- they came. If somebody deleted or edited one of the keys, a push of a hint repairs everything about that hint,
-- and the hint keeps its age if any of the keys still knows it.

local list, members, kinds = KEYS[1], KEYS[2], KEYS[3]

-- The hints without doubles, and the places of each kind among them.
local hints, scores, seen, kind_at, by_kind = {}, {}, {}, {}, {}
for i, score in ipairs(redis.call('ZMSCORE', members, unpack(ARGV))) do
  local hint = ARGV[i]
  local kind = not seen[hint] and kind_of(hint)
  if kind then
    local at = #hints + 1
    seen[hint], hints[at], scores[at], kind_at[at] = true, hint, score, kind
    by_kind[kind] = by_kind[kind] or {places = {}, hints = {}, fresh = {}}
    table.insert(by_kind[kind].places, at)
    table.insert(by_kind[kind].hints, hint)
  end
end
if #hints == 0 then
  return 0
end

-- Which hints the orders hold, and the scores that only an order knows.
local is_held, added = {}, #hints
for kind, of_kind in pairs(by_kind) do
  for i, score in ipairs(redis.call('ZMSCORE', order_key(list, kind), unpack(of_kind.hints))) do
    if score then
      local at = of_kind.places[i]
      is_held[at], scores[at] = true, scores[at] or score
      added = added - 1
    end
  end
end

-- The next free score, counted in whole microseconds: sums of fractions of a ms would meet.
local next_us
local function next_score()
  if not next_us then
    local time = redis.call('TIME')
    local last = redis.call('ZREVRANGE', members, 0, 0, 'WITHSCORES')[2]
    next_us = math.max(time[1] * 1000000 + time[2], last and math.floor(last * 1000 + 0.5) + 1 or 0)
  end
  next_us = next_us + 1
  return (next_us - 1) / 1000
end

local scored = {}
for at, hint in ipairs(hints) do
  local score, of_kind = scores[at] or next_score(), by_kind[kind_at[at]]
  scored[2 * at - 1], scored[2 * at] = score, hint
  if not is_held[at] then
    local size = #of_kind.fresh
    of_kind.fresh[size + 1], of_kind.fresh[size + 2] = score, hint
  end
  of_kind.first = math.min(score, of_kind.first or score)
end

local missing = redis.call('ZADD', members, 'NX', unpack(scored))
if missing > 0 then
  redis.call('RPUSH', list, unpack(hints, 1, missing))
end
for kind, of_kind in pairs(by_kind) do
  if #of_kind.fresh > 0 then
    redis.call('ZADD', order_key(list, kind), unpack(of_kind.fresh))
  end
  redis.call('ZADD', kinds, 'LT', of_kind.first, kind)
end
return added
