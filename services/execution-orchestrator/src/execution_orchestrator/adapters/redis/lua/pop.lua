-- Takes hints of some kinds from one queue, those with the lowest scores first. Returns, for each hint, the hint
-- and its score.
--
-- KEYS[1]  LIST  workflow:execution:queue[:<name>]   one element for each job that waits (see push.lua)
-- KEYS[2]  ZSET  {KEYS[1]}:members                   every hint of the queue, by when it was added
-- KEYS[3]  ZSET  {KEYS[1]}:kinds                     the kinds that have hints, by the score of their first hint
-- and the orders of the kinds (see kinds.lua)
-- ARGV[1]  how many hints to take, at most 1,000
-- ARGV[2]  the kinds that the caller accepts, separated by line breaks: one argument, because a client needs longer
--          to send a thousand arguments than this script needs to run
--
-- The cost depends on the accepted kinds and on the hints that are taken, never on the hints of other kinds. The
-- script takes any hint of an order, even if the other keys do not know it: the claim in Postgres decides.

local list, members, kinds = KEYS[1], KEYS[2], KEYS[3]
local left = tonumber(ARGV[1])

local FEW = 16  -- up to this number of kinds, look each up among the accepted kinds, else the other way round

-- The accepted kinds that have hints: a binary heap, the kind with the lowest score at index 1.
local heap = {}
if redis.call('ZCARD', kinds) <= FEW then
  local lines = '\n' .. ARGV[2] .. '\n'
  local present = redis.call('ZRANGE', kinds, 0, -1, 'WITHSCORES')
  for i = 1, #present, 2 do
    if string.find(lines, '\n' .. present[i] .. '\n', 1, true) then
      heap[#heap + 1] = {kind = present[i], score = tonumber(present[i + 1])}
    end
  end
else
  local accepted = {}
  for kind in string.gmatch(ARGV[2], '[^\n]+') do
    accepted[#accepted + 1] = kind
  end
  for first = 1, #accepted, CHUNK do
    local last = math.min(first + CHUNK - 1, #accepted)
    for i, score in ipairs(redis.call('ZMSCORE', kinds, unpack(accepted, first, last))) do
      if score then
        heap[#heap + 1] = {kind = accepted[first + i - 1], score = tonumber(score)}
      end
    end
  end
end

local function sift_down(at)
  local size = #heap
  while true do
    local least = at
    for child = 2 * at, math.min(2 * at + 1, size) do
      if heap[child].score < heap[least].score then
        least = child
      end
    end
    if least == at then
      return
    end
    heap[at], heap[least] = heap[least], heap[at]
    at = least
  end
end

for at = math.floor(#heap / 2), 1, -1 do
  sift_down(at)
end

-- How many hints of the first kind come before the first hint of every other kind; at least 1.
local function length_of_run(order)
  if #heap == 1 then
    return left
  end
  local rival = heap[2].score
  if heap[3] and heap[3].score < rival then
    rival = heap[3].score
  end
  return math.max(1, math.min(left, redis.call('ZCOUNT', order, '-inf', '(' .. string.format('%.17g', rival))))
end

local taken, hints = {}, {}
while left > 0 and #heap > 0 do
  local top = heap[1]
  local order = order_key(list, top.kind)
  local run = redis.call('ZPOPMIN', order, length_of_run(order))
  for i = 1, #run, 2 do
    hints[#hints + 1] = run[i]
    taken[#taken + 1] = run[i]
    taken[#taken + 1] = run[i + 1]
  end
  left = left - #run / 2
  top.score = note_first(list, kinds, top.kind)
  if not top.score then
    heap[1] = heap[#heap]
    heap[#heap] = nil
  end
  sift_down(1)
end
forget(list, members, hints)
return taken
