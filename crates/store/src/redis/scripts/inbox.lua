-- Takes tenant, how many to look at, the newest and the oldest end of what is asked for, source, outcome. Answers what the last
-- one looked at is, empty if there is no more, and of those that are wanted: place, and the entry.
local tenant, max, newest, oldest, of_source, source, outcome =
  take(), tonumber(take()), take(), take(), take() == '1', take(), take()
local places = redis.call('ZRANGE', T .. ':inbox:' .. tenant, newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, max)
local function is_wanted(key)
  if not of_source and outcome == '' then return true end
  local known = redis.call('HMGET', key, 's', 'o')
  return (not of_source or known[1] == source) and (outcome == '' or known[2] == outcome)
end
local rows = {}
for _, place in ipairs(places) do
  -- After the padded time.
  local key = T .. ':i:' .. string.sub(place, 18)
  if is_wanted(key) then rows[#rows + 1] = { place, redis.call('HGET', key, 'j') } end
end
return { #places >= max and places[max] or '', rows }
