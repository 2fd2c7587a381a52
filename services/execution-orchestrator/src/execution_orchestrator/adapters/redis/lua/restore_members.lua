-- Adds the hints of one order that `members` lacks to `members`, one page of the order in each call. Returns the
-- cursor of the next page, or 0 after the last one.
--
-- KEYS[1]  ZSET  {workflow:execution:queue[:<name>]}:members   every hint of the queue, by when it was added
-- KEYS[2]  ZSET  the order of one kind (see kinds.lua)
-- ARGV[1]  the cursor; 0 to begin
-- ARGV[2]  about how many hints make a page
--
-- This script does not change the list: the adapter calls resize_list.lua after it.

local page = redis.call('ZSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local entries = page[2]
for first = 1, #entries, 1000 do
  local scored = {}
  for i = first, math.min(first + 999, #entries), 2 do
    scored[#scored + 1] = entries[i + 1]
    scored[#scored + 1] = entries[i]
  end
  redis.call('ZADD', KEYS[1], 'NX', unpack(scored))
end
return page[1]
