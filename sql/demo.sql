-- A catalogue for a first look: deliveries that are late, due today and to come. Each has an id of its
-- own, so that adding them again adds nothing.
insert into public.sources (id, created_by, country, data_vendor, panel, panel_group, scope_of_subscription, data_type, granularity,
                     end_date, current_update, next_update, status)
select format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid, 'demo', country, vendor, panel, panel_group, scope, kind,
       granularity, public.local_date() + 365, public.local_date() + due, public.local_date() + due + 30, status
  from (values
      (1, 'France', 'Northwind', 'Retail', 'DKM', 'Full', 'Sell-out', 'National', -3, 'active'),
      (2, 'Germany', 'Contoso', 'Hospital', 'DKM', 'Full', 'Sell-in', 'National', 0, 'active'),
      (3, 'Italy', 'Northwind', 'Retail', 'GPI', 'Partial', 'Prescriptions', 'Regional', 5, 'active'),
      (4, 'Spain', 'Fabrikam', 'Retail', 'DKM', 'Full', 'Sell-out', 'National', 12, 'active'),
      (5, 'Poland', 'Contoso', 'Hospital', 'GPI', 'Partial', 'Sell-in', 'Regional', -20, 'inactive'),
      (6, 'Japan', 'Fabrikam', 'Retail', 'DKM', 'Full', 'Sell-out', 'National', 0, 'active'),
      (7, 'Brazil', 'Northwind', 'Retail', 'GPI', 'Full', 'Prescriptions', 'Local', 2, 'active'),
      (8, 'Canada', 'Contoso', 'Hospital', 'DKM', 'Partial', 'Sell-in', 'National', -1, 'active')
  ) as demo (n, country, vendor, panel, panel_group, scope, kind, granularity, due, status)
on conflict (id) do nothing
