--[[
Counters that machines share. One run is one call of an authority, so it happens as a whole or not at all. The rules are those of
access/tallies.py, number for number.

KEYS: 1 presence of holders; the rest one for each counter.
ARGV: 1 what to do; 2 Unix seconds, empty for this server's own clock; 3 the holder; 4 LEASE_S; 5 PRESENT_S; then what it is about.

Values: window  text: length, then slot and units in turn.    bucket  text: length, level, since when.
        places  hash: holder = life and units.                spends  hash: counter (JSON), spent, leased, and by holder s:, l:.
        presence  hash: holder = life and when it was last heard of; # = how many lives there were. Who leaves and comes back has
        another life, and has no places from the one before.
Units are whole numbers below 2^53, which is what Lua can count; text() writes them out, tostring() would round them.
]]

local SLOTS = 60
local KEPT_S = 86400 -- places and spending counters that nobody touches, beyond their end

local presence, act, holder = KEYS[1], ARGV[1], ARGV[3]
local lease_s, present_s = tonumber(ARGV[4]), tonumber(ARGV[5])
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local at = 5
local function word()
  at = at + 1
  return ARGV[at]
end
local function number()
  return tonumber(word())
end

local function text(units)
  return string.format('%.0f', units)
end
local function exact(value)
  return string.format('%.17g', value)
end
local function whole(value)
  return value < 0 and math.ceil(value) or math.floor(value)
end
local function milliseconds(seconds)
  return text(math.max(1, math.min(math.ceil(seconds * 1000), 10 ^ 12)))
end

-- presence

local lives = {}
local function life_of(name)
  if not lives[name] then
    local said = redis.call('HGET', presence, name)
    local life, seen = string.match(said or '', '^(%S+) (%S+)$')
    lives[name] = { life = life, seen = tonumber(seen) }
  end
  return lives[name]
end

local function see()
  local found = life_of(holder)
  if not found.life then
    found.life = text(redis.call('HINCRBY', presence, '#', 1))
    local all = redis.call('HGETALL', presence)
    for i = 1, #all, 2 do
      local seen = tonumber(string.match(all[i + 1], ' (%S+)$') or '')
      if seen and seen < now - KEPT_S then
        redis.call('HDEL', presence, all[i])
      end
    end
  end
  found.seen = now
  redis.call('HSET', presence, holder, found.life .. ' ' .. exact(now))
  redis.call('PEXPIRE', presence, milliseconds(2 * KEPT_S))
end

-- the kinds: load, count, left, wait, take, give, save; of those that are HELD, hold

local window = {}

function window.load(c)
  c.slot_s, c.keeps_s = c.window_s / SLOTS, c.window_s + lease_s
  c.first, c.slots, c.used = 1, {}, 0
  local words = string.gmatch(redis.call('GET', c.key) or '', '%S+')
  if words() == c.length then
    for index in words do
      local units = tonumber(words())
      c.slots[#c.slots + 1] = { tonumber(index), units }
      c.used = c.used + units
    end
  end
end

local function forget(c)
  local oldest = whole((now - c.keeps_s) / c.slot_s)
  while c.slots[c.first] and c.slots[c.first][1] < oldest do
    c.used = c.used - c.slots[c.first][2]
    c.first = c.first + 1
    c.changed = true
  end
end

function window.count(c)
  forget(c)
  return c.used
end

function window.left(c)
  forget(c)
  return c.limit - c.used
end

function window.wait(c, units)
  forget(c)
  local over = c.used + units - c.limit
  if over <= 0 then
    return 0
  end
  if units <= c.limit then
    for i = c.first, #c.slots do
      over = over - c.slots[i][2]
      if over <= 0 then
        return math.max(0.001, (c.slots[i][1] + 1) * c.slot_s + c.keeps_s - now)
      end
    end
  end
  return math.huge
end

function window.take(c, units)
  local index, last = whole(now / c.slot_s), c.slots[#c.slots]
  if last and #c.slots >= c.first and last[1] >= index then
    last[2] = last[2] + units
    index = last[1]
  else
    c.slots[#c.slots + 1] = { index, units }
  end
  c.used, c.changed = c.used + units, true
  return index
end

function window.give(c, units, slot)
  for i = c.first, #c.slots do
    if c.slots[i][1] == slot then
      units = math.min(units, c.slots[i][2])
      c.slots[i][2] = c.slots[i][2] - units
      c.used, c.changed = c.used - units, true
      return
    end
  end
end

function window.save(c)
  local words = { c.length }
  for i = c.first, #c.slots do
    words[#words + 1] = text(c.slots[i][1])
    words[#words + 1] = text(c.slots[i][2])
  end
  redis.call('SET', c.key, table.concat(words, ' '), 'PX', milliseconds(2 * c.window_s + lease_s))
end

local bucket = {}

function bucket.load(c)
  c.level, c.at, c.per_s = c.burst, -math.huge, c.limit / c.window_s
  local length, level, since = string.match(redis.call('GET', c.key) or '', '^(%S+) (%S+) (%S+)$')
  if length == c.length then
    c.level, c.at = math.min(tonumber(level), c.burst), tonumber(since)
  end
end

local function refill(c)
  if now > c.at then
    if c.level < c.burst then
      c.level = math.min(c.burst, c.level + (now - c.at) * c.per_s)
    end
    c.at, c.changed = now, true
  end
end

function bucket.count(c)
  refill(c)
  return math.ceil(c.burst - c.level)
end

function bucket.left(c)
  refill(c)
  return math.floor(c.level)
end

function bucket.wait(c, units)
  refill(c)
  if units <= c.level + 1e-9 then
    return 0
  end
  return units > c.burst and math.huge or (units - c.level) / c.per_s
end

function bucket.take(c, units)
  refill(c)
  c.level, c.changed = c.level - units, true
  return 0
end

function bucket.give(c, units)
  refill(c)
  c.level, c.changed = math.min(c.burst, c.level + units), true
end

function bucket.save(c)
  local full_s = (c.burst - c.level) / c.per_s
  redis.call('SET', c.key, table.concat({ c.length, exact(c.level), exact(c.at) }, ' '), 'PX', milliseconds(full_s + 1))
end

local places = {}

function places.load(c)
  c.others, c.own = 0, nil
  local all = redis.call('HGETALL', c.key)
  for i = 1, #all, 2 do
    local life, units = string.match(all[i + 1], '^(%S+) (%S+)$')
    local owner = life_of(all[i])
    if owner.life ~= life then
      redis.call('HDEL', c.key, all[i])
    elseif all[i] == holder then
      c.own = tonumber(units)
    elseif now - owner.seen < present_s then
      c.others = c.others + tonumber(units)
    end
  end
end

function places.count(c)
  return c.others + (c.own or 0)
end

function places.left(c)
  return c.limit - places.count(c)
end

function places.wait(c, units)
  if units <= places.left(c) then
    return 0
  end
  return units <= c.limit and lease_s or math.huge
end

function places.take(c, units)
  if units ~= 0 then
    c.own, c.changed = (c.own or 0) + units, true
  end
  return 0
end

function places.give(c, units)
  local left = (c.own or 0) - units
  c.own, c.changed = left > 0 and left or nil, true
end

function places.hold(c, units)
  c.own, c.changed = units > 0 and units or nil, true
end

function places.save(c)
  if c.own then
    redis.call('HSET', c.key, holder, life_of(holder).life .. ' ' .. text(c.own))
    redis.call('PEXPIRE', c.key, milliseconds(KEPT_S))
  else
    redis.call('HDEL', c.key, holder)
  end
end

local spends = {}

function spends.load(c)
  local found = redis.call('HMGET', c.key, 'spent', 'leased', 's:' .. holder, 'l:' .. holder)
  c.unknown = not found[1]
  c.spent, c.leased = tonumber(found[1] or 0), tonumber(found[2] or 0)
  c.said, c.own = tonumber(found[3] or nil), tonumber(found[4] or nil)
end

function spends.count(c)
  return c.spent
end

function spends.left(c)
  return c.limit - c.spent - c.leased
end

function spends.wait(c, units)
  if units <= spends.left(c) then
    return 0
  end
  return units <= c.limit - c.spent and lease_s or math.huge -- what others hold may come back, what is spent does not
end

local function lease(c, units)
  c.leased = c.leased - (c.own or 0) + (units or 0)
  c.own, c.changed = units, true
end

function spends.take(c, units)
  if units ~= 0 then
    lease(c, (c.own or 0) + units)
  end
  return 0
end

function spends.give(c, units)
  local left = (c.own or 0) - units
  lease(c, left > 0 and left or nil)
end

function spends.hold(c, units)
  lease(c, units > 0 and units or nil)
end

function spends.report(c, total)
  local more = total - (c.said or 0)
  c.spent, c.said = c.spent + more, total
  lease(c, math.max(0, (c.own or 0) - more))
end

local function field(c, name, units)
  if units then
    redis.call('HSET', c.key, name, text(units))
  else
    redis.call('HDEL', c.key, name)
  end
end

function spends.save(c)
  redis.call('HSET', c.key, 'spent', text(c.spent), 'leased', text(c.leased))
  field(c, 's:' .. holder, c.said)
  field(c, 'l:' .. holder, c.own)
end

local kinds = { window = window, bucket = bucket, places = places, spends = spends }

-- what an authority does

local function counters()
  local found = {}
  for i = 2, #KEYS do
    local kind = kinds[word()]
    local c = { key = KEYS[i], kind = kind, limit = number(), length = word(), burst = number(), hard = word() == '1' }
    c.window_s = tonumber(c.length)
    kind.load(c)
    found[#found + 1] = c
  end
  return found
end

local function save(all)
  for _, c in ipairs(all) do
    if c.changed then
      c.kind.save(c)
    end
  end
end

local acts = {}

function acts.take()
  local reply, wants = { 'unknown' }, {}
  local all = counters()
  for i, c in ipairs(all) do
    if c.unknown then
      reply[#reply + 1] = i - 1
    end
  end
  if #reply > 1 then
    return reply
  end
  see()
  local refused, longest = nil, 0
  for i = 1, number() do
    local want = { counter = all[number() + 1], units = number(), extra = number() }
    local c = want.counter
    wants[i] = want
    c.needed = (c.needed or 0) + want.units
    if c.hard then
      local wait_s = c.kind.wait(c, c.needed)
      if wait_s > longest then
        refused, longest = { 'refused', i - 1, exact(wait_s), c.kind.count(c) }, wait_s
      end
    end
  end
  if not refused then
    reply = { 'granted' }
    for _, want in ipairs(wants) do
      want.slot = want.counter.kind.take(want.counter, want.units)
    end
    for _, want in ipairs(wants) do
      local c = want.counter
      local extra = math.max(0, math.min(want.extra, math.floor(c.kind.left(c) / 2)))
      if extra > 0 then
        c.kind.take(c, extra)
      end
      reply[#reply + 1] = want.units + extra
      reply[#reply + 1] = want.slot
    end
  end
  save(all)
  return refused or reply
end

function acts.tell()
  see()
  local all, totals = counters(), {}
  for _ = 1, number() do
    local c, slot, units = all[number() + 1], number(), number()
    if not c.unknown then
      if units < 0 then
        c.kind.take(c, -units)
      else
        c.kind.give(c, units, slot)
      end
    end
  end
  for i = 1, number() do
    local c, total = all[number() + 1], number()
    totals[i] = false
    if c.kind == spends and not c.unknown then
      spends.report(c, total)
      totals[i] = c.spent
    end
  end
  for _ = 1, number() do
    local c, units = all[number() + 1], number()
    if c.kind.hold and not c.unknown then
      c.kind.hold(c, units)
    end
  end
  save(all)
  return totals
end

-- KEYS 2: where to keep it until begin. ARGV: holders with what they have spent, where these are too many for one call.
function acts.stage()
  while at < #ARGV do
    local who, units = word(), number()
    redis.call('HSET', KEYS[2], 's:' .. who, text(units))
  end
  return redis.call('PEXPIRE', KEYS[2], milliseconds(60))
end

-- KEYS 2: the counter; 3: the names of all that were begun, by when they are forgotten; 4: what was staged. ARGV: its name, its JSON,
-- when it ends (or empty), 1 if something was staged, the sum of what was spent, then
-- holders with what they have spent.
function acts.begin()
  local key, name, json, ends, staged = KEYS[2], word(), word(), number(), word() == '1'
  if redis.call('EXISTS', key) == 1 then
    return redis.call('DEL', KEYS[4])
  end
  if staged then
    redis.call('RENAME', KEYS[4], key) -- an error if it has expired
    redis.call('PERSIST', key)
  end
  local spent = number()
  while at < #ARGV do
    local who, units = word(), number()
    redis.call('HSET', key, 's:' .. who, text(units))
  end
  redis.call('HSET', key, 'counter', json, 'spent', text(spent), 'leased', '0')
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. exact(now))
  if ends then
    local keeps = milliseconds(math.max(60, ends + KEPT_S - now)) -- also for who begins it long after its end
    redis.call('PEXPIRE', key, keeps)
    redis.call('ZADD', KEYS[3], exact(ends + KEPT_S), name)
    local before = redis.call('PTTL', KEYS[3])
    if before ~= -1 or redis.call('ZCARD', KEYS[3]) == 1 then
      redis.call('PEXPIRE', KEYS[3], text(math.max(before, tonumber(keeps))))
    end
  else
    redis.call('ZADD', KEYS[3], '+inf', name)
    redis.call('PERSIST', KEYS[3])
  end
  return 1
end

function acts.estate()
  local found = {}
  for i = 2, #KEYS do
    local said = redis.call('HMGET', KEYS[i], 's:' .. holder, 'l:' .. holder, 'counter')
    if said[3] and (tonumber(said[1] or 0) ~= 0 or tonumber(said[2] or 0) ~= 0) then
      found[#found + 1] = said[3]
    end
  end
  return found
end

-- ARGV: what the holder spent of each counter, empty where nobody knows better than the counter.
function acts.bury()
  redis.call('HDEL', presence, holder)
  for i = 2, #KEYS do
    local c, better = { key = KEYS[i] }, number()
    spends.load(c)
    if not c.unknown and (c.said or c.own) then
      c.spent = c.spent - (c.said or 0) + (better or c.said or 0)
      c.said = nil
      lease(c, nil)
      spends.save(c)
    end
  end
  return 0
end

function acts.leave()
  return redis.call('HDEL', presence, holder)
end

-- KEYS 2: the name. ARGV: until when it is remembered.
function acts.first()
  local ends, known = number(), tonumber(redis.call('GET', KEYS[2]) or nil)
  if known and known > now then
    return 0
  end
  redis.call('SET', KEYS[2], exact(ends), 'PX', milliseconds(ends - now))
  return 1
end

return acts[act]()
