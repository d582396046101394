-- ARGV: time, then for each message: payload, delay, whether it has a deduplication key, and the key.
local keys, holders = {}, {}
for i = 4, #ARGV, 4 do
  if ARGV[i] == '1' then keys[#keys + 1] = ARGV[i + 1] end
end
for from = 1, #keys, 500 do
  local part = { unpack(keys, from, math.min(from + 499, #keys)) }
  for i, holder in ipairs(redis.call('HMGET', T .. ':keys', unpack(part))) do holders[part[i]] = holder or nil end
end
local news = false
for i = 2, #ARGV, 4 do
  local key = ARGV[i + 2] == '1' and ARGV[i + 3] or nil
  local holder = key and holders[key]
  -- Somebody may have removed the message by hand; then its key keeps nobody out.
  if not (holder and redis.call('EXISTS', message(holder)) == 1) then
    local id, told = add(ARGV[i], key, after(tonumber(ARGV[i + 1])))
    if key then holders[key] = id end
    news = told or news
  end
end
if news then ring() end
return 1
