-- Puts hints that were popped a moment ago back to the places that they had.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]   one element for each job that waits (see push.lua)
-- KEYS[2]  ZSET  {KEYS[1]}:members                   every hint of the queue, by when it was added
-- KEYS[3]  ZSET  {KEYS[1]}:kinds                     the kinds that have hints, by the score of their first hint
-- and the orders of the kinds (see kinds.lua)
-- ARGV     for each hint, at most 1,000: the score that pop.lua returned, and the hint
--
-- A hint that was pushed again in the meantime keeps the lower of its scores.

local list, members, kinds = KEYS[1], KEYS[2], KEYS[3]
local changed = {}
for i = 1, #ARGV, 2 do
  local score, hint = ARGV[i], ARGV[i + 1]
  local kind = kind_of(hint)
  if redis.call('ZADD', members, 'LT', score, hint) == 1 then
    redis.call('RPUSH', list, hint)
  end
  redis.call('ZADD', order_key(list, kind), 'LT', score, hint)
  changed[kind] = true
end
for kind in pairs(changed) do
  note_first(list, kinds, kind)
end
