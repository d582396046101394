-- Takes tenant, how many to look at, the newest and the oldest end of what is asked for, state, endpoint. Answers what the last
-- one looked at is, empty if there is no more, and of those that are wanted: place, and the delivery.
local tenant, max, newest, oldest, state, endpoint = take(), tonumber(take()), take(), take(), take(), take()
local places = redis.call('ZRANGE', T .. ':deliveries:' .. tenant, newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, max)
local function is_wanted(id)
  local known = redis.call('HMGET', T .. ':d:' .. id, 's', 'g')
  -- A release that knew nothing of this list may have removed it.
  return known[1] and (state == '' or known[1] == state) and (endpoint == '' or known[2] == endpoint)
end
local rows = {}
for _, place in ipairs(places) do
  -- After the padded time.
  local id = string.sub(place, 18)
  if is_wanted(id) then rows[#rows + 1] = { place, delivery(id) } end
end
return { #places >= max and places[max] or '', rows }
