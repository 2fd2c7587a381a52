-- Takes hints from the head of one queue that the caller accepts. Returns them, the oldest first.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]
--                the hints `namespace|execution_id|task_id|item|task_type`, the next one at the head
-- KEYS[2]  ZSET  {KEYS[1]}:members
--                the same hints, by the time when each was added (see push.lua)
-- ARGV[1]  how many to take, at most 1,000
-- ARGV[2]  how many hints of others to look past
-- ARGV[3]  and on: what is accepted, each `namespace|task_type`
--
-- Hints of others keep their place and their order. What is no hint at all is removed: nobody would ever take it.
-- Where all of the head is accepted, which is the usual case, the cost is that of what is taken.
--
-- Needs Redis 7 or Valkey. The braces in KEYS[2] hash it to the slot of KEYS[1], so a Redis Cluster runs it too.

local list, members = KEYS[1], KEYS[2]
local limit, max_skipped = tonumber(ARGV[1]), tonumber(ARGV[2])
local HINT = '^([^|]+)|[^|]+|[^|]+|%-?%d+|([^|]+)$'

local accepted = {}
for i = 3, #ARGV do
  accepted[ARGV[i]] = true
end

local taken, removed, skipped = {}, {}, {}
local looked_at, last_removed, skipped_before = 0, 0, 0
while #taken < limit and #skipped <= max_skipped do
  local window = redis.call('LRANGE', list, looked_at, looked_at + limit - #taken - 1)
  if #window == 0 then
    break
  end
  for _, hint in ipairs(window) do
    looked_at = looked_at + 1
    local namespace, task_type = string.match(hint, HINT)
    local is_taken = namespace and accepted[namespace .. '|' .. task_type]
    if is_taken then
      taken[#taken + 1] = hint
    end
    if is_taken or not namespace then
      removed[#removed + 1] = hint
      last_removed, skipped_before = looked_at, #skipped
    else
      skipped[#skipped + 1] = hint
      if #skipped > max_skipped then
        break
      end
    end
  end
end

if last_removed > 0 then
  redis.call('LTRIM', list, last_removed, -1)
  for i = skipped_before, 1, -1 do
    redis.call('LPUSH', list, skipped[i])
  end
  for first = 1, #removed, 1000 do
    redis.call('ZREM', members, unpack(removed, first, math.min(first + 999, #removed)))
  end
end
if redis.call('EXISTS', list) == 0 then
  redis.call('UNLINK', members)
end
return taken
