# The whole runbook by HTTP, in its order, as one session of an operator: `make run` in one terminal, then in another
#   source .data/dev.env && bash -euo pipefail tests/runbook/session.sh
# Every line that is printed is one call's answer.
FUNCTIONS=$BASE_URL/functions/v1
ITINERARY=11111111-1111-4111-8111-111111111111
FRIEND=44444444-4444-4444-8444-444444444444
anon=(-H "apikey: $SUPABASE_ANON_KEY")
service=(-H "apikey: $SUPABASE_SERVICE_ROLE_KEY" -H "Authorization: Bearer $SUPABASE_SERVICE_ROLE_KEY")
ops=(-H "apikey: $SUPABASE_ANON_KEY" -H "Authorization: Bearer $OPS_TOKEN")
user=(-H "apikey: $SUPABASE_ANON_KEY" -H "Authorization: Bearer $USER_TOKEN")
json=(-H "Content-Type: application/json")
ask() { curl -sf -w '\n' "${json[@]}" "$@" | tee /dev/stderr; }
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }

# Check bookings in a date range; list exceptions by status; submit a refund request (mock).
ask "${anon[@]}" "$FUNCTIONS/ops-bookings?from=2025-10-01&to=2025-10-15"
ask "${anon[@]}" "$FUNCTIONS/ops-bookings?from=2025-10-01&to=2025-10-15&supplier=HBX"
for status in open retrying resolved; do ask "${anon[@]}" "$FUNCTIONS/ops-exceptions?status=$status"; done
ask "${anon[@]}" -d "{\"itinerary_id\":\"$ITINERARY\",\"amount_cents\":15000,\"reason\":\"customer cancellation\"}" "$FUNCTIONS/ops-refund" | field request_id | grep -q ^mock-

# Checkout & webhook (offline): one payment succeeds, one fails.
CHECKOUT=$(ask "${anon[@]}" -d "{\"itinerary_id\":\"$ITINERARY\",\"amount_cents\":25000,\"currency\":\"USD\"}" "$FUNCTIONS/bff-checkout")
PAYMENT=$(field payment_id <<<"$CHECKOUT")
INTENT=$(field payment_intent <<<"$CHECKOUT")
ask "${anon[@]}" -d "{\"type\":\"payment_intent.succeeded\",\"data\":{\"payment_id\":\"$PAYMENT\",\"payment_intent\":\"$INTENT\"}}" "$FUNCTIONS/stripe-webhook"
DECLINED=$(ask "${anon[@]}" -d "{\"itinerary_id\":\"$ITINERARY\",\"amount_cents\":26000,\"currency\":\"USD\"}" "$FUNCTIONS/bff-checkout")
ask "${anon[@]}" -d "{\"type\":\"payment_intent.payment_failed\",\"data\":{\"payment_id\":\"$(field payment_id <<<"$DECLINED")\",\"payment_intent\":\"$(field payment_intent <<<"$DECLINED")\"}}" "$FUNCTIONS/stripe-webhook"

# Switching data source: the next request obeys, and live views are for ops alone.
ecotrips flags set USE_FIXTURES=0
ask "${ops[@]}" "$FUNCTIONS/ops-bookings?from=2025-10-01&to=2025-10-15" | field source | grep -qx view
[ "$(curl -s -o /dev/null -w '%{http_code}' "${user[@]}" "$FUNCTIONS/ops-bookings")" = 403 ]
ecotrips flags set USE_FIXTURES=1
ask "${anon[@]}" "$FUNCTIONS/ops-bookings" | field source | grep -qx fixtures

# Catalog search index; inventory triage.
ask -X POST "${service[@]}" "$FUNCTIONS/search-index-populate"
ask "${anon[@]}" -d '{"query":"kigali","limit":5}' "$FUNCTIONS/search-places"
ask "${anon[@]}" -d '{"city":"Kigali","check_in":"2099-06-03","check_out":"2099-06-05","pax":{"adults":2}}' "$FUNCTIONS/inventory-search" | field source | grep -qx fixtures
ecotrips circuit show

# Finance: invoice, delivery by WhatsApp, refund, credit note, ledger reconciliation.
LINK=$(ask "${service[@]}" -d "{\"kind\":\"invoice\",\"payment_id\":\"$PAYMENT\",\"itinerary_id\":\"$ITINERARY\"}" "$FUNCTIONS/fin-invoice-generate" | field signed_url)
curl -sf "$LINK" -o invoice.pdf && grep -aq '^%PDF-' invoice.pdf
ask "${service[@]}" -d "{\"type\":\"link_notice\",\"to\":\"+250788123456\",\"text\":\"Your ecoTrips invoice\",\"url\":\"$LINK\"}" "$FUNCTIONS/wa-send"
ask "${service[@]}" -d "{\"payment_id\":\"$PAYMENT\",\"amount_cents\":5000,\"reason\":\"guest_cancelled\"}" "$FUNCTIONS/payments-refund"
ask "${service[@]}" -d "{\"kind\":\"credit_note\",\"payment_id\":\"$PAYMENT\"}" "$FUNCTIONS/fin-invoice-generate" | field number | grep -q -- '-CN$'
ask "${service[@]}" -H "Accept-Profile: fin" "$BASE_URL/rest/v1/fin.ledger?payment_id=eq.$PAYMENT&order=occurred_at"

# Privacy: requests, review, export, erasure.
EXPORT=$(ask "${service[@]}" -d "{\"kind\":\"export\",\"subject_user_id\":\"$FRIEND\"}" "$FUNCTIONS/privacy-request" | field request_id)
ask "${service[@]}" -d '{}' "$BASE_URL/rest/v1/rpc/privacy_get_datamap?limit=2"
ask "${service[@]}" -d "{\"p_request_id\":\"$EXPORT\"}" "$BASE_URL/rest/v1/rpc/privacy_get_request"
ask "${service[@]}" -d "{\"request_id\":\"$EXPORT\",\"decision\":\"approve\",\"note\":\"looks good\"}" "$FUNCTIONS/privacy-review"
ask "${service[@]}" -d "{\"request_id\":\"$EXPORT\"}" "$FUNCTIONS/privacy-export" | field signed_url | xargs curl -sf -o /dev/null
ERASURE=$(ask "${service[@]}" -d "{\"kind\":\"erasure\",\"subject_user_id\":\"$FRIEND\"}" "$FUNCTIONS/privacy-request" | field request_id)
ask "${service[@]}" -d "{\"request_id\":\"$ERASURE\",\"decision\":\"approve\",\"note\":\"looks good\"}" "$FUNCTIONS/privacy-review"
ask "${service[@]}" -d "{\"request_id\":\"$ERASURE\"}" "$FUNCTIONS/privacy-erasure-dryrun"
ask "${service[@]}" -d "{\"request_id\":\"$ERASURE\",\"confirm\":\"ERASE\"}" "$FUNCTIONS/privacy-erasure-execute"

# Permits: submission, approval, rejection.
PERMIT=$(ask "${anon[@]}" -d '{"park":"Volcanoes","visit_date":"2099-12-12","pax_count":2,"note":"Honeymoon trek"}' "$FUNCTIONS/permits-request" | field request_id)
ask "${ops[@]}" -d "{\"request_id\":\"$PERMIT\",\"note\":\"Permit confirmed\"}" "$FUNCTIONS/permits-ops-approve"
PERMIT=$(ask "${user[@]}" -d '{"park":"Nyungwe","visit_date":"2099-12-12","pax_count":2}' "$FUNCTIONS/permits-request" | field request_id)
ask "${service[@]}" -d "{\"request_id\":\"$PERMIT\",\"note\":\"Need different date\"}" "$FUNCTIONS/permits-ops-reject"

# Groups & split-pay: two travellers pay together; ops act for the second.
GROUP=$(ask "${user[@]}" -d "{\"name\":\"Gorilla trek\",\"itinerary_id\":\"$ITINERARY\"}" "$FUNCTIONS/groups-create" | field group_id)
ESCROW=$(ask "${user[@]}" -d "{\"group_id\":\"$GROUP\",\"itinerary_id\":\"$ITINERARY\",\"target_cents\":5000,\"min_members\":2,\"deadline\":\"2099-12-31T23:00:00Z\"}" "$FUNCTIONS/groups-create-escrow" | field escrow_id)
MEMBER=$(ask "${ops[@]}" -d "{\"group_id\":\"$GROUP\"}" "$FUNCTIONS/groups-join" | field member_id)
ask "${user[@]}" -d "{\"escrow_id\":\"$ESCROW\",\"amount_cents\":2500,\"currency\":\"USD\"}" "$FUNCTIONS/groups-contribute" | field escrow_status | grep -qx open
ask "${ops[@]}" -d "{\"escrow_id\":\"$ESCROW\",\"member_id\":\"$MEMBER\",\"amount_cents\":2500,\"currency\":\"USD\"}" "$FUNCTIONS/groups-contribute" | field escrow_status | grep -qx met

# Payouts & expiry: now, by the worker's sweep, and in the report.
ask "${service[@]}" -d "{\"escrow_id\":\"$ESCROW\"}" "$FUNCTIONS/groups-ops-payout-now" | field payout_status | grep -qx succeeded
ask "${service[@]}" -d '{}' "$FUNCTIONS/groups-payout-worker"
TODAY=$(date -u +%F)
ask "${service[@]}" "$FUNCTIONS/groups-payouts-report?from=$TODAY&to=$TODAY"

# The daily close.
ecotrips ledger verify
