"""What photographs suffer: noise, blur, weather and digital damage, each at five severities."""
