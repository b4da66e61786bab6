-- Two names of one quota. The same as src/share/joins.rs.

-- The unit that it is by now.
local function root(name)
  local record = unit(name)
  while record and record.into do
    name = record.into
    record = unit(name)
  end
  return name
end

-- Whose windows count what is said of this unit.
local function counted_in(name)
  if contains(state.joining, name) then return name end
  return root(name)
end

-- Whether it is lent to nobody: it is another by now, or what it counts is not added up yet.
local function is_joining(record)
  if record.into then return true end
  for _, old in ipairs(state.joining) do
    if root(old) == record.name then return true end
  end
  return false
end

local function join(name)
  if contains(state.joining, name) then return end
  table.insert(state.joining, name)
  table.sort(state.joining, precedes)
end

-- A process says which units are others by now. `made`: makes the record of a unit that was never told of.
local function declare(kinds, made)
  local said = {}
  for _, kind in ipairs(kinds) do
    for name, olds in pairs(kind.joins or {}) do said[#said + 1] = {name, olds} end
  end
  table.sort(said, function(one, other) return precedes(one[1], other[1]) end)
  for _, one in ipairs(said) do
    local name = one[1]
    for _, old in ipairs(one[2]) do
      if old ~= name then
        local record = unit(old) or made(old)
        if not record.into and not unit(name).into then
          record.into = name
          join(old)
        end
      end
    end
  end
end

-- Counts what another one counted as well.
local function add_up(record, left)
  if is_empty(record.counts) then
    record.told = left.told
  elseif not is_empty(left.counts) then
    record.told = min(record.told, left.told)
  end
  for _, told in ipairs(left.counts) do
    local sum = window(record, told)
    local moments = {}
    for _, list in ipairs({sum.m, told.m}) do
      for i = 1, #list, 2 do moments[#moments + 1] = {list[i], list[i + 1]} end
    end
    table.sort(moments, function(one, other)
      if one[1] ~= other[1] then return one[1] < other[1] end
      return one[2] < other[2]
    end)
    sum.m = {}
    for at, moment in ipairs(moments) do
      sum.m[2 * at - 1], sum.m[2 * at] = moment[1], moment[2]
    end
    for i = 1, #told.d, 2 do
      on_date(sum, told.d[i], function(used) return used + told.d[i + 1] end)
    end
  end
  local function later(one, other)
    if one and other then return max(one, other) end
    return one or other
  end
  record.unknown = later(record.unknown, left.unknown)
  record.days_unknown = later(record.days_unknown, left.days_unknown)
  record.lost = later(record.lost, left.lost)
  record.last_start = later(record.last_start, left.last_start)
  for _, deadline in ipairs(left.in_flight) do table.insert(record.in_flight, deadline) end
  record.learned = stricter(record.learned, left.learned)
  record.opens = nil
  for _, correction in ipairs(left.corrections) do
    record.corrected = record.corrected + 1
    table.insert(record.corrections, {n = record.corrected, u = correction.u, b = correction.b, m = correction.m})
  end
end

-- Adds up what nobody holds any more.
local function add_joined(now)
  for _, old in ipairs(copied(state.joining)) do
    local record, into = unit(old), unit(root(old))
    if is_free(record, now) and is_free(into, now) then
      state.joining = retain(state.joining, function(name) return name ~= old end)
      abandon(record, now, state.broke)
      abandon(into, now, state.broke)
      add_up(into, record)
      record.holder, record.unknown, record.days_unknown, record.last_start, record.opens, record.before, record.lost = nil
      record.ends, record.fence, record.told, record.corrected, record.mode = 0, 0, 0, 0, 'whole'
      record.counts, record.counted = {}, true
      record.marks, record.in_flight, record.learned, record.corrections = {}, {}, {}, {}
      record.bookings, record.other = {}, {}
    end
  end
end
