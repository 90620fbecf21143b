// supabase-js over our service and postgrest-js over a foreign schema, unchanged. Prints one line of JSON: how many
// calls were made, and what went otherwise than expected.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const { service, foreign, anon, ops, traveller, stranger, key, keeper, itinerary } = JSON.parse(process.env.SUITE)
const from = createRequire(`${process.cwd()}/package.json`)
const { createClient } = from('@supabase/supabase-js')
const { PostgrestClient } = from('@supabase/postgrest-js')

const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: class {} } }
const as = (token) => createClient(service, anon, { ...options, global: { headers: { Authorization: `Bearer ${token}` } } })
const [staff, owner, guest] = [ops, traveller, stranger].map(as)
const visitor = createClient(service, anon, options)
const machine = createClient(service, key, options)
const zoo = new PostgrestClient(foreign)
const keeping = new PostgrestClient(foreign, { headers: { Authorization: `Bearer ${keeper}` } })

let calls = 0
const failures = []

// `expected` is the data, or a function that checks the whole answer.
async function call(name, query, expected) {
  calls += 1
  try {
    const answer = await query
    if (typeof expected === 'function') return expected(answer)
    assert.equal(answer.error, null)
    assert.deepEqual(answer.data, expected)
  } catch (error) {
    failures.push(`${name}: ${error.message}`)
  }
}
const refused = (status, code) => (answer) => assert.deepEqual([answer.status, answer.error.code], [status, code])
const ids = (...wanted) => (answer) => assert.deepEqual(answer.data?.map((row) => row.id), wanted, answer.error?.message)

const animals = () => zoo.from('animals').select('id').order('id')
await call('eq', animals().eq('id', 1), [{ id: 1 }])
await call('neq', animals().neq('kind', 'gorilla'), ids(4, 5, 6))
await call('gt', animals().gt('id', 4), ids(5, 6))
await call('gte and lt', animals().gte('id', 2).lt('id', 4), ids(2, 3))
await call('lte', animals().lte('id', 2), ids(1, 2))
await call('like', animals().like('name', 'K%'), ids(1, 2, 3))
await call('ilike', animals().ilike('name', '%KO'), ids(1))
await call('like any of', animals().likeAnyOf('name', ['Ko%', 'P%']), ids(1, 4, 5))
await call('like all of', animals().likeAllOf('name', ['K%', '%a']), ids(3))
await call('is null', animals().is('weight', null), ids(6))
await call('in', animals().in('name', ['Polly', 'Lost', 'a,"b']), ids(4, 6))
await call('not', animals().not('house_id', 'in', '(1,2)'), ids(5))
await call('or', animals().or('id.eq.1,and(kind.eq.penguin,mood.eq.hungry)'), ids(1, 5))
await call('match', animals().match({ kind: 'gorilla', mood: 'angry' }), ids(3))
await call('filter', animals().filter('name', 'match', '^P'), ids(4, 5))
await call('text search', animals().textSearch('search', 'run', { config: 'english' }), ids(1))
const houses = () => zoo.from('houses').select('id').order('id')
await call('contains an array', houses().contains('tags', ['big']), ids(1, 4))
await call('contains a document', houses().contains('facts', { area: 45 }), ids(2))
await call('contained by', houses().containedBy('tags', ['big', 'loud']), ids(2, 3, 4))
await call('overlaps', houses().overlaps('tags', ['loud', 'warm']), ids(1, 2))
await call('range overlaps', houses().overlaps('open_hours', '[20,22)'), ids(4))
await call('range greater', houses().rangeGt('open_hours', '[0,9)'), ids(2))
await call('path of a document', zoo.from('houses').select('deep:facts->pond->>deep').eq('id', 1), [{ deep: 'true' }])
await call('order with nulls', zoo.from('houses').select('id').order('built', { ascending: false, nullsFirst: true }).limit(2), ids(3, 4))
await call('range', animals().range(1, 2), ids(2, 3))
await call('single', animals().eq('id', 4).single(), { id: 4 })
await call('single of none', animals().eq('id', 44).single(), refused(406, 'PGRST116'))
await call('perhaps one', animals().eq('id', 44).maybeSingle(), null)
await call('count', zoo.from('animals').select('id', { count: 'exact', head: true }), (answer) => assert.equal(answer.count, 6))
await call('csv', zoo.from('countries').select('id,name').eq('id', 1).csv(), 'id,name\n1,Rwanda')
await call('odd names', zoo.from('odd; name').select('":id","a.b","with space","UPPER"').eq('":id"', 1), [
  { ':id': 1, 'a.b': 'dot', 'with space': 'space', UPPER: 'upper' },
])
await call('to one', zoo.from('animals').select('id,houses(name)').eq('id', 4), [{ id: 4, houses: { name: 'Bird House' } }])
await call('to many', zoo.from('houses').select('id,animals(id)').eq('id', 3), [{ id: 3, animals: [{ id: 5 }] }])
await call('many to many', zoo.from('keepers').select('id,animals!keeping(id)').eq('id', 3), [{ id: 3, animals: [{ id: 5 }] }])
await call('inner and filtered', zoo.from('houses').select('id,animals!inner()').eq('animals.kind', 'penguin'), [{ id: 3 }])
await call('embed limited', zoo.from('houses').select('id,animals(id)').eq('id', 1).order('id', { referencedTable: 'animals', ascending: false }).limit(1, { referencedTable: 'animals' }), [{ id: 1, animals: [{ id: 3 }] }])
await call('spread', zoo.from('animals').select('id,...houses(house:name)').eq('id', 5), [{ id: 5, house: 'Cold House' }])
await call('computed field', zoo.from('animals').select('loud_name').eq('id', 1), [{ loud_name: 'KOKO' }])
await call('computed relationship', zoo.from('animals').select('home(name)').eq('id', 4), [{ home: { name: 'Bird House' } }])
await call('view', zoo.from('big_houses').select('id,title,countries(name)').eq('id', 1), [{ id: 1, title: 'Ape House', countries: { name: 'Rwanda' } }])
await call('rpc', zoo.rpc('add', { a: 1, b: 2 }), 3)
await call('rpc by get', zoo.rpc('add', { a: 1, b: 2 }, { get: true }), 3)
await call('rpc filtered', zoo.rpc('animals_in', { house: 1 }).select('id').gt('id', 1).order('id'), ids(2, 3))
await call('no such table', zoo.from('animal').select(), refused(404, 'PGRST205'))
await call('no right', zoo.from('visits').insert({ visitor: 'x' }), refused(401, '42501'))
await call('insert', keeping.from('countries').insert({ id: 10, name: 'Togo' }).select('id,name').single(), { id: 10, name: 'Togo' })
await call('insert many', keeping.from('countries').insert([{ id: 11, name: 'Mali' }, { id: 12, name: 'Peru', select: 'z' }]).select('id'), ids(11, 12))
await call('upsert', keeping.from('countries').upsert({ id: 10, name: 'Togo!' }).select('name'), [{ name: 'Togo!' }])
await call('upsert ignoring', keeping.from('countries').upsert({ id: 10, name: 'x' }, { ignoreDuplicates: true }).select('id'), [])
await call('duplicate', keeping.from('countries').insert({ id: 10, name: 'Twice' }), refused(409, '23505'))
await call('update', keeping.from('countries').update({ name: 'Togo' }).eq('id', 10).select('name'), [{ name: 'Togo' }])
await call('delete', keeping.from('countries').delete({ count: 'exact' }).gte('id', 10), (answer) => assert.deepEqual([answer.status, answer.count], [204, 3]))

const known = { id: itinerary, items: [{ itinerary_id: itinerary }] }
const booked = (client) => client.schema('booking').from('itineraries').select('id').eq('id', itinerary)
await call('staff see a booking', booked(staff), [{ id: itinerary }])
await call('so does its owner', booked(owner), [{ id: itinerary }])
await call('strangers do not', booked(guest), [])
await call('those without an account may not', booked(visitor), refused(401, '42501'))
await call('dotted names', staff.from('booking.itineraries').select('id').eq('id', itinerary).single(), { id: itinerary })
await call('an embed of ours', staff.schema('booking').from('itineraries').select('id,items(itinerary_id)').eq('id', itinerary).limit(1, { referencedTable: 'items' }).single(), known)
await call('the list of bookings', staff.schema('ops').from('v_bookings').select('id', { count: 'exact' }).limit(3), (answer) => {
  assert.equal(answer.data.length, 3)
  assert.ok(answer.count >= 3)
})
await call('a function for any key', visitor.rpc('search_places', { p_query: 'kigali', p_limit: 1 }), (answer) => assert.equal(answer.error, null))
await call('a function of the service', machine.rpc('increment_counter', { p_name: 'suite' }), (answer) => assert.equal(answer.error, null))
await call('not for others', guest.rpc('increment_counter', { p_name: 'suite' }), refused(403, '42501'))
await call('money is closed', machine.schema('payment').from('payments').insert({ itinerary_id: itinerary }), refused(403, '42501'))
await call('a write of the service', machine.schema('booking').from('itineraries').update({ notes: 'seen' }).eq('id', itinerary).select('notes').single(), { notes: 'seen' })

console.log(JSON.stringify({ calls, failures }))
