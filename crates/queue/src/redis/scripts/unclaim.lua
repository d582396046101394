-- ARGV: time, then for each message: id, token, ready since. As if they had never been taken.
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  if held(id, ARGV[i + 1]) then
    redis.call('ZREM', T .. ':leases', id)
    redis.call('HINCRBY', message(id), 'r', -1)
    make_ready(id, tonumber(ARGV[i + 2]))
  end
end
ring()
return 1
