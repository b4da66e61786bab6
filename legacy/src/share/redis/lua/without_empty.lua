-- An empty list and an empty map look the same in JSON: none is written at all.

local function without_empty(value)
  for name, part in pairs(value) do
    if type(part) == 'table' then
      if next(part) == nil then value[name] = nil else without_empty(part) end
    end
  end
  return value
end
