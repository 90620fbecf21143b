-- What ops-exceptions-retry queues again, by the kind of exception. Each answers whether there was anything to queue.

create or replace function payment.retry_intent(p_cause text) returns boolean
language plpgsql volatile
as $$
begin
  update payment.payments set next_attempt_at = now()
  where id::text = p_cause and intent_id is null and status = 'processing';
  return found;
end;
$$;
comment on function payment.retry_intent(text) is
'A payment whose intent is not known: the worker asks the provider again. A refused or declined one is for the '
'traveller to try.';

create or replace function payment.retry_event(p_cause text) returns boolean
language plpgsql volatile
as $$
begin
  update payment.webhook_events set next_attempt_at = now() where id = p_cause and result = 'deferred';
  return found;
end;
$$;
comment on function payment.retry_event(text) is 'A deferred webhook event, named by its id, also after its last try.';

create or replace function payment.retry_refund(p_cause text) returns boolean
language plpgsql volatile
as $$
declare
  v_refund payment.refunds;
begin
  select * into v_refund from payment.refunds where id::text = p_cause;
  if v_refund.status = 'pending' then
    update payment.refunds set next_attempt_at = now(), attempts = 0 where id = v_refund.id and status = 'pending';
  elsif v_refund.status = 'failed' then
    -- What failed for good is asked for anew; the new refund has an exception of its own should it fail too.
    perform payment.request_refund(v_refund.payment_id, v_refund.amount_cents, v_refund.reason, v_refund.origin);
    perform ops.resolve_exception('refund', p_cause);
  end if;
  return coalesce(v_refund.status in ('pending', 'failed'), false);
end;
$$;
comment on function payment.retry_refund(text) is
'A refund, named by its id: asked for again under its key, or, when it failed, anew.';

create or replace function fin.retry_invoice(p_cause text) returns boolean
language plpgsql volatile
as $$
begin
  update fin.invoices set next_render_at = now() where id::text = p_cause and sha256 is null;
  return found;
end;
$$;
comment on function fin.retry_invoice(text) is
'An invoice without its document, named by its id: rendered by the next turn of the worker.';

create or replace function ops.retry_sweep(p_cause text) returns boolean
language plpgsql volatile
as $$
begin
  update ops.sweeps set next_at = now() where name = p_cause;
  return found;
end;
$$;
comment on function ops.retry_sweep(text) is 'A sweep of the worker, named by itself: its back-off ends.';

create or replace function inventory.retry_circuit(p_cause text) returns boolean
language plpgsql volatile
as $$
begin
  update inventory.circuit set cooldown_until = clock_timestamp(), version = version + 1, updated_at = clock_timestamp()
  where name = p_cause and state = 'open' and forced is null;
  if found then
    perform pg_notify('ecotrips_circuit', p_cause);
  end if;
  return found;
end;
$$;
comment on function inventory.retry_circuit(text) is
'An open circuit, named by itself: its rest ends, and the next call is its probe.';

create or replace function privacy.retry_purges(p_cause text) returns boolean
language plpgsql volatile
as $$
declare
  v_request privacy.requests;
begin
  update privacy.requests r set status = 'approved'
  where r.id::text = p_cause and status = 'failed' and exists (select from privacy.certificates where request_id = r.id)
  returning * into v_request;
  if v_request.id is null then
    return false;
  end if;
  perform privacy.purge_again(v_request);
  perform pg_notify('ecotrips_purges', '');
  return true;
end;
$$;
comment on function privacy.retry_purges(text) is
'The files of an erasure that could not be deleted, named by its request: as approving and executing it again does.';
