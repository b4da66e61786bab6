-- All that the board in Redis holds.
local base = KEYS[1]
local unpack_one = cmsgpack.unpack
local function map(name)
  local raw, found = redis.call('HGETALL', name), {}
  for at = 1, #raw, 2 do found[raw[at]] = raw[at + 1] end
  return found
end
local function each(found, lists)
  for _, field in ipairs(lists) do
    if found[field] then found[field] = unpack_one(found[field]) end
  end
  return found
end
local all = {board = each(map(base .. ':board'), {'past', 'dead', 'joining', 'other', 'recovery', 'awaited', 'gap'}), units = {}, holders = {},
  rosters = {}, facts = {}, used = map(base .. ':used'), of = {}, drawn = redis.call('SMEMBERS', base .. ':drawn'), bounds = map(base .. ':bounds'),
  left = map(base .. ':left')}
for name, raw in pairs(all.bounds) do all.bounds[name] = unpack_one(raw) end
for name, raw in pairs(all.left) do all.left[name] = unpack_one(raw) end
-- None is not the same as nobody.
all.board.is_awaiting = all.board.awaited and 'yes'
for _, name in ipairs(redis.call('SMEMBERS', base .. ':units')) do
  all.units[name] = each(map(base .. ':unit:' .. name),
    {'counts', 'marks', 'in_flight', 'learned', 'corrections', 'bookings', 'other'})
end
for id, raw in pairs(map(base .. ':holders')) do all.holders[id] = unpack_one(raw) end
for _, roster in ipairs(redis.call('SMEMBERS', base .. ':rosters')) do
  local limits = map(base .. ':roster:' .. roster .. ':limits')
  for name, raw in pairs(limits) do limits[name] = unpack_one(raw) end
  all.rosters[roster] = {kinds = unpack_one(redis.call('GET', base .. ':roster:' .. roster)), limits = limits}
end
for scope, raw in pairs(map(base .. ':facts')) do all.facts[scope] = unpack_one(raw) end
return cjson.encode(without_empty(all))
