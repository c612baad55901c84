-- Give a call's slot back and correct its tokens, in the windows it was admitted in; a second time changes nothing.
-- KEYS: for each scope a hash of counters and a sorted set of leases.
-- ARGV: call, tokens to add (negative when fewer came than were reserved), index of minute, hour and day.
for scope = 1, #KEYS / 2 do
  local counts, calls = KEYS[2 * scope - 1], KEYS[2 * scope]
  if redis.call('ZREM', calls, ARGV[1]) == 1 then
    for window = 1, 3 do
      if tonumber(redis.call('HGET', counts, 'i' .. window) or -1) == tonumber(ARGV[2 + window]) then
        if redis.call('HINCRBY', counts, 't' .. window, ARGV[2]) < 0 then
          redis.call('HSET', counts, 't' .. window, 0)
        end
      end
    end
  end
end
return 1
