Somebody leaves twice in a night: one alert with two findings.

Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 19:30 every 5 min D1 at home
  19:35 to 19:50 every 5 min D1 at street
  19:55 to 20:10 every 5 min D1 at home
  20:15 to 20:30 every 5 min D1 at street

Findings at 20:32
  W1 CURFEW LEFT_DURING on C1 from 19:35 to 19:55, known 19:40
  W1 CURFEW LEFT_DURING on C1 from 20:15, lasting, known 20:20

Alerts
  W1 CURFEW on C1 AL10 serious, 2 findings, raised 19:40
