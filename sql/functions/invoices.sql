-- Invoices and credit notes (docs/api.md, Finance): number and content in one transaction, the document after it.

create or replace function fin.guard_invoice() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if (to_jsonb(new) - 'sha256' - 'next_render_at') is distinct from (to_jsonb(old) - 'sha256' - 'next_render_at')
    or (old.sha256 is not null and new.sha256 is distinct from old.sha256) then
    raise exception using
      errcode = 'PT409', constraint = 'invoice_fixed', message = 'An issued document never changes';
  end if;
  return new;
end;
$$;
comment on function fin.guard_invoice() is 'Trigger: nothing of an issued document changes; its digest is set once.';

create or replace trigger guard_invoice before update on fin.invoices
for each row execute function fin.guard_invoice();
create or replace trigger refuse_removal before delete or truncate on fin.invoices
for each statement execute function audit.refuse_change();

create or replace function fin.issue_invoice(
  p_payment payment.payments, p_at timestamptz, p_day date, p_facturx boolean
) returns fin.invoices
language plpgsql volatile
as $$
declare
  v_content jsonb;
  v_invoice fin.invoices;
begin
  if p_payment.captured_cents = 0 then
    raise exception using errcode = 'PT409', constraint = 'invoice_captured', message = 'The payment is not captured';
  end if;
  v_content := fin.invoice_content(
    p_payment, fin.invoice_lines(p_payment), p_payment.captured_cents, p_at, p_day, p_facturx
  ) || jsonb_build_object('kind', 'invoice');
  v_invoice.number := fin.next_number('INV', p_day);
  insert into fin.invoices (
    payment_id, itinerary_id, kind, number, total_cents, currency, storage_path, created_at, business_day, content
  ) values (
    p_payment.id, p_payment.itinerary_id, 'invoice', v_invoice.number, p_payment.captured_cents, p_payment.currency,
    format('%s/%s.pdf', to_char(p_day, 'YYYY'), v_invoice.number), p_at, p_day,
    v_content || jsonb_build_object('number', v_invoice.number)
  ) returning * into v_invoice;
  return v_invoice;
end;
$$;
comment on function fin.issue_invoice(payment.payments, timestamptz, date, boolean) is
'Issues the invoice of a captured payment, whose row the caller has locked.';

create or replace function fin.issue_credit_note(
  p_payment payment.payments, p_at timestamptz, p_day date, p_facturx boolean
) returns fin.invoices
language plpgsql volatile
as $$
declare
  v_refund fin.entries;
  v_credited fin.invoices;
  v_earlier bigint;
  v_content jsonb;
  v_note fin.invoices;
begin
  select e.* into v_refund from fin.entries e
  where e.payment_id = p_payment.id and e.entry_type = 'refund_succeeded'
    and not exists (select from fin.invoices n where n.refund_entry_id = e.id)
    -- A succeeded refund may still fail days later.
    and not exists (
      select from fin.entries f
      where f.payment_id = e.payment_id and f.entry_type = 'refund_failed' and f.provider_ref = e.provider_ref
    )
  order by e.seq desc limit 1;
  if v_refund.id is null then
    raise exception using
      errcode = 'PT409', constraint = 'refund_to_credit',
      message = 'There is no succeeded refund without a credit note';
  end if;
  select * into v_credited from fin.invoices where payment_id = p_payment.id and kind = 'invoice';
  select count(*) into v_earlier from fin.invoices where credited_invoice_id = v_credited.id;
  v_content := fin.invoice_content(
    p_payment,
    jsonb_build_array(jsonb_build_object('description', 'Refund', 'amount_cents', v_refund.amount_cents)),
    v_refund.amount_cents, p_at, p_day, p_facturx
  ) || jsonb_build_object('kind', 'credit_note', 'refund', jsonb_build_object('reference', v_refund.provider_ref));
  if v_credited.id is not null then
    -- Seller, buyer and tax are copied from the invoice.
    v_content := v_content || jsonb_build_object(
      'invoice', jsonb_build_object('number', v_credited.number, 'issued_on', v_credited.business_day),
      'seller', v_credited.content -> 'seller',
      'buyer', v_credited.content -> 'buyer',
      'tax', fin.tax_within(v_refund.amount_cents, v_credited.content -> 'tax')
    );
  end if;
  v_note.number := case
    when v_credited.id is null then fin.next_number('CN', p_day)
    else v_credited.number || '-CN' || case v_earlier when 0 then '' else (v_earlier + 1)::text end
  end;
  insert into fin.invoices (
    payment_id, itinerary_id, kind, number, total_cents, currency, storage_path, created_at, business_day, content,
    refund_entry_id, credited_invoice_id
  ) values (
    p_payment.id, p_payment.itinerary_id, 'credit_note', v_note.number, v_refund.amount_cents, p_payment.currency,
    format('%s/%s.pdf', to_char(p_day, 'YYYY'), v_note.number), p_at, p_day,
    v_content || jsonb_build_object('number', v_note.number), v_refund.id, v_credited.id
  ) returning * into v_note;
  return v_note;
end;
$$;
comment on function fin.issue_credit_note(payment.payments, timestamptz, date, boolean) is
'Issues the credit note of the latest succeeded refund that has none; the caller has locked the payment''s row.';

create or replace function fin.issue_document(
  p_kind text, p_payment_id uuid, p_itinerary_id uuid, p_timezone text, p_facturx boolean, p_at timestamptz
) returns json
language plpgsql volatile
as $$
declare
  v_payment payment.payments;
  v_invoice fin.invoices;
  v_reused boolean := true;
begin
  -- One document of a payment at a time; the series is locked last and only for the insert.
  select * into v_payment from payment.payments where id = p_payment_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'payment_known', message = 'Payment not found';
  elsif p_itinerary_id is not null and p_itinerary_id is distinct from v_payment.itinerary_id then
    raise exception using
      errcode = 'PT409', constraint = 'invoice_itinerary', message = 'The payment belongs to another itinerary';
  end if;
  -- Returns the existing invoice, or a credit note without a document.
  select * into v_invoice from fin.invoices
  where payment_id = p_payment_id and kind = p_kind and (kind = 'invoice' or sha256 is null)
  order by created_at limit 1;
  if not found then
    v_reused := false;
    v_invoice := case p_kind
      when 'invoice' then fin.issue_invoice(v_payment, p_at, (p_at at time zone p_timezone)::date, p_facturx)
      else fin.issue_credit_note(v_payment, p_at, (p_at at time zone p_timezone)::date, p_facturx)
    end;
    perform audit.record('invoice.issued', jsonb_build_object(
      'invoice_id', v_invoice.id, 'number', v_invoice.number, 'payment_id', p_payment_id,
      'total_cents', v_invoice.total_cents, 'currency', v_invoice.currency
    ));
  end if;
  return fin.invoice_answer(v_invoice, v_reused);
end;
$$;
comment on function fin.issue_document(text, uuid, uuid, text, boolean, timestamptz) is
'The invoice of a payment, or the credit note of its latest refund, issued at p_at unless it exists.';

create or replace function fin.invoice_answer(p_invoice fin.invoices, p_reused boolean) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'invoice_id', p_invoice.id,
    'number', p_invoice.number,
    'kind', p_invoice.kind,
    'payment_id', p_invoice.payment_id,
    'total_cents', p_invoice.total_cents,
    'currency', p_invoice.currency,
    'storage_path', p_invoice.storage_path,
    'sha256', p_invoice.sha256,
    'content', p_invoice.content,
    'reused', p_reused
  ))
$$;
comment on function fin.invoice_answer(fin.invoices, boolean) is 'A document with what is needed to render it.';

create or replace function public.generate_invoice(
  p_kind text,
  p_payment_id uuid,
  p_itinerary_id uuid default null,
  p_timezone text default 'Africa/Kigali',
  p_facturx boolean default false
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_service();
  p_kind := sec.valid_choice('kind', p_kind, array['invoice', 'credit_note']);
  p_payment_id := sec.valid_uuid('payment_id', p_payment_id);
  p_timezone := sec.valid_pattern(p_timezone, '^[A-Za-z0-9_+/-]{1,64}$', 'timezone must be a time zone''s name');
  p_facturx := sec.valid_flag('facturx', p_facturx);
  return fin.issue_document(p_kind, p_payment_id, p_itinerary_id, p_timezone, p_facturx, now());
end;
$$;
comment on function public.generate_invoice(text, uuid, uuid, text, boolean) is
'Service: issues the invoice or the next credit note of a payment, or gives the invoice again; the worker renders it.';

create or replace function public.record_invoice_document(p_invoice_id uuid, p_sha256 text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  update fin.invoices set sha256 = p_sha256 where id = p_invoice_id and sha256 is distinct from p_sha256;
  if found then
    perform audit.record('invoice.rendered', jsonb_build_object('invoice_id', p_invoice_id, 'sha256', p_sha256));
    perform ops.resolve_exception('invoice', p_invoice_id::text);
  end if;
end;
$$;
comment on function public.record_invoice_document(uuid, text) is
'Internal: keeps the digest of the stored document; another one later raises invoice_fixed.';

create or replace function fin.claim_invoices_to_render(p_limit int) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  c_timeout constant interval := interval '1 hour';
  v_invoice fin.invoices;
  v_claims json[] := '{}'::json[];
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  for v_invoice in
    with due as (
      select id from fin.invoices
      where sha256 is null and next_render_at <= now()
      order by next_render_at limit p_limit for update skip locked
    )
    update fin.invoices i set next_render_at = now() + interval '5 minutes'
    from due where i.id = due.id
    returning i.*
  loop
    if v_invoice.created_at < now() - c_timeout then
      perform ops.open_exception('invoice', v_invoice.id::text, 'an hour after its issue it has not been rendered');
    end if;
    v_claims := v_claims || fin.invoice_answer(v_invoice, true);
  end loop;
  return to_json(v_claims);
end;
$$;
comment on function fin.claim_invoices_to_render(int) is
'Internal: issued documents that nobody has rendered, kept from other workers for five minutes; an hour after its '
'issue such a document is an ops exception.';
