-- Images are no longer counted: the fourth of the amounts is removed.
ALTER TABLE usage DROP COLUMN images;
UPDATE log SET entries = (SELECT json_group_array(json_remove(value, '$[5][3]')) FROM json_each(entries));
UPDATE quotas SET windows = (
    SELECT json_group_array(json_array(
        span.value ->> 0,
        json((SELECT json_group_array(json_remove(value, '$[4]')) FROM json_each(span.value, '$[1]')))
    ))
    FROM json_each(windows) AS span
);
-- A tenant's id was its name.
ALTER TABLE tenants DROP COLUMN name;
ALTER TABLE tenants RENAME COLUMN id TO name;
