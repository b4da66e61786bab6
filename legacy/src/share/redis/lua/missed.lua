-- Records of units that are gone. None is ever deleted here: they were evicted, or deleted by hand. Whoever has such a
-- unit may use it up to its lease's end before he hears of that; what was used until then he alone knows.

-- The names of units whose records were missed.
local vanished = {}

-- The record of a unit in the place of one that is gone.
function missed(name)
  local ends = state.clock + state.lease
  local record = enter(name, state.recovery and '0' or state.generation, ends)
  record.vanished = 1
  for _, limit in ipairs(limits_of(name)) do
    if limit.s == DAY then record.lost = ends end
  end
  vanished[#vanished + 1] = name
  return record
end
