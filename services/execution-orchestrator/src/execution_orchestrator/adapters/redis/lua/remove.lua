-- Removes hints from one queue, if they have not been taken, or taken and added again, in the meantime. Returns how
-- many it removed.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]   one element for each job that waits (see push.lua)
-- KEYS[2]  ZSET  {KEYS[1]}:members                   every hint of the queue, by when it was added
-- KEYS[3]  ZSET  {KEYS[1]}:kinds                     the kinds that have hints, by the score of their first hint
-- and the orders of the kinds (see kinds.lua)
-- ARGV     for each hint, at most 1,000: the score that the caller saw in KEYS[2], and the hint

local list, members, kinds = KEYS[1], KEYS[2], KEYS[3]
local removed, changed = {}, {}
for i = 1, #ARGV, 2 do
  local seen, hint = tonumber(ARGV[i]), ARGV[i + 1]
  local score = redis.call('ZSCORE', members, hint)
  if score and tonumber(score) == seen then
    removed[#removed + 1] = hint
    local kind = kind_of(hint)
    if kind and redis.call('ZREM', order_key(list, kind), hint) == 1 then
      changed[kind] = true
    end
  end
end
for kind in pairs(changed) do
  note_first(list, kinds, kind)
end
forget(list, members, removed)
return #removed
