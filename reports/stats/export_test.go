package stats

// Steps of the methods that are compared with reference values one by one.
var (
	AgrestiMin         = agrestiMin
	Alpha              = alpha
	BradleyTerryPoints = bradleyTerryPoints
	McNemar            = mcNemar
	MonteCarloP        = monteCarloP
	Nominal            = nominal
	Percentile         = percentile
	Proportion         = proportion
	SignFlip           = signFlip
	Signs              = signs
	Squared            = squared
)
