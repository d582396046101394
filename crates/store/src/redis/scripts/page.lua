-- Takes tenant, how many to look at, the newest and the oldest end of what is asked for, platform, states. Answers what the
-- last one looked at is, empty if there is no more, and of those on the platform: place of creation, and the record.
local tenant, max, newest, oldest, platform = take(), tonumber(take()), take(), take(), take()
local lists = {}
while position < #ARGV do lists[#lists + 1] = list(take(), tenant) end
local places = {}
for _, key in ipairs(lists) do
  for _, place in ipairs(redis.call('ZRANGE', key, newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, max)) do
    places[#places + 1] = place
  end
end
table.sort(places, function(a, b) return a > b end)
local rows = {}
for i = 1, math.min(max, #places) do
  -- After two padded numbers.
  local key = session_key(string.sub(places[i], 35))
  if platform == '' or redis.call('HGET', key, 'p') == platform then
    rows[#rows + 1] = { places[i], redis.call('HMGET', key, 'j', 'v', 'u') }
  end
end
return { #places >= max and places[max] or '', rows }
