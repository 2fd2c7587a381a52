-- Functions that push.lua, pop.lua, put_back.lua and remove.lua share; the adapter puts them before each script.
--
-- A kind is `namespace|task_type`. A kind has an order, which is the sorted set that its hints are taken from:
--
--   ZSET  {KEYS[1]}:kind:<namespace>|<task_type>
--         the hints `namespace|execution_id|task_id|item|task_type` of one kind; the lowest score is taken first
--
-- A script computes the names of these keys. The braces hash all of them to the slot of KEYS[1], so a Redis
-- Cluster runs the scripts too. They need Redis 7 or Valkey.

local CHUNK = 1000  -- arguments of one command, so that `unpack` does not overflow the stack of Lua
local HINT = '^([^|]+)|[^|]+|[^|]+|%-?%d+|([^|]+)$'

-- The kind of a hint, or nil if the text is not a hint.
local function kind_of(hint)
  local namespace, task_type = string.match(hint, HINT)
  return namespace and namespace .. '|' .. task_type
end

-- The key of the order of a kind.
local function order_key(list, kind)
  return '{' .. list .. '}:kind:' .. kind
end

-- Give the kind the score of its first hint in `kinds`, or remove the kind if it has no hints.
-- Returns that score, or nil.
local function note_first(list, kinds, kind)
  local score = redis.call('ZRANGE', order_key(list, kind), 0, 0, 'WITHSCORES')[2]
  if score then
    redis.call('ZADD', kinds, score, kind)
  else
    redis.call('ZREM', kinds, kind)
  end
  return score and tonumber(score)
end

-- Remove hints from `members`, and one element of the list for each hint that was there.
local function forget(list, members, hints)
  local removed = 0
  for first = 1, #hints, CHUNK do
    local last = math.min(first + CHUNK - 1, #hints)
    removed = removed + redis.call('ZREM', members, unpack(hints, first, last))
  end
  if removed > 0 then
    redis.call('LPOP', list, removed)
  end
end
