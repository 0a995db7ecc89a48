# The row of a sweep's table (ε, learning rate, metric, whether it is good) with this learning rate and the nearest ε.
$2 + 0 == l + 0 {
    distance = log($1) - log(e)
    distance = distance < 0 ? -distance : distance
    if (!seen || distance < least) { seen = 1; least = distance; metric = $3; good = $4 }
}
END { print "good=" good; print "metric=" metric }
