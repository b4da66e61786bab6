-- What processes knew of units that they gave back, where the board lost it. The same as src/share/left.rs.

local ON_THE_WAY = 1000

-- By the time that its sender has seen pass since the board last answered it.
local function is_in_time(renewal, now)
  local came = state.holders[renewal.holder].came
  for at = 1, #came, 2 do
    if came[at] == renewal.acknowledged then
      return renewal.elapsed ~= nil and now - came[at + 1] - renewal.elapsed + renewal.trip <= ON_THE_WAY
    end
  end
  return false
end

local function sum_of(counts)
  local sum = 0
  for _, told in ipairs(counts) do
    for i = 2, #told.m, 2 do sum = sum + told.m[i] end
  end
  return sum
end

-- Hears what was started before of units that nobody may hold. Of several who tell of one it is believed who tells most.
local function hear_left(renewal, now)
  if not state.recovery or renewal.generation ~= state.generation or not is_in_time(renewal, now) then return end
  local key = base .. ':left'
  for _, left in ipairs(renewal.left or {}) do
    local told, raw = all_heard(left.counts or {}, now), call('HGET', key, left.unit)
    if not raw or sum_of(unpack_one(raw)) < sum_of(told) then call('HSET', key, left.unit, pack(told)) end
  end
end

-- Of a recovery that was to end earlier, or is over.
local function forget_left()
  call('DEL', base .. ':left')
end

-- Counts what was started in a unit before.
local function count_left(record)
  -- What is another by now counts that in the other's windows.
  local raw = not record.into and call('HGET', base .. ':left', record.name)
  for _, told in ipairs(raw and unpack_one(raw) or {}) do window(record, told).m = told.m end
end
