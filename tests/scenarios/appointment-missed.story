Somebody stays at home instead of going to an appointment.
From half past ten on it cannot be kept any more.
Ready 09:00

Orders
  tag D1 on W1 from 09:00 every 36000 s
  N1 obliges W1: ATTENDANCE within 60 m of shop, on MON 10:00-11:00, stay 1800 s

Course
  09:50 to 11:00 every 5 min D1 at home

Findings at 11:10
  W1 ATTENDANCE on N1 from 10:30 to 11:00

Alerts
  W1 ATTENDANCE on N1 serious, raised 10:30
