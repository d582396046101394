-- Takes nothing. Answers tenants with the places that they have taken, and tenants with how many of theirs wait.
return { redis.call('HGETALL', T .. ':taken'), redis.call('HGETALL', T .. ':held') }
