package simulator

// What the simulated models know. Small on purpose: enough for rehearsals.

var capitals = map[string]string{
	"argentina": "Buenos Aires", "australia": "Canberra", "austria": "Vienna", "bangladesh": "Dhaka", "belgium": "Brussels",
	"bolivia": "Sucre", "brazil": "Brasília", "bulgaria": "Sofia", "canada": "Ottawa", "chile": "Santiago",
	"china": "Beijing", "colombia": "Bogotá", "croatia": "Zagreb", "cuba": "Havana", "czechia": "Prague",
	"denmark": "Copenhagen", "ecuador": "Quito", "egypt": "Cairo", "estonia": "Tallinn", "ethiopia": "Addis Ababa",
	"finland": "Helsinki", "france": "Paris", "germany": "Berlin", "ghana": "Accra", "greece": "Athens",
	"hungary": "Budapest", "iceland": "Reykjavik", "india": "New Delhi", "indonesia": "Jakarta", "iran": "Tehran",
	"iraq": "Baghdad", "ireland": "Dublin", "italy": "Rome", "jamaica": "Kingston", "japan": "Tokyo",
	"jordan": "Amman", "kenya": "Nairobi", "latvia": "Riga", "lebanon": "Beirut", "lithuania": "Vilnius",
	"malaysia": "Kuala Lumpur", "mexico": "Mexico City", "mongolia": "Ulaanbaatar", "morocco": "Rabat", "nepal": "Kathmandu",
	"netherlands": "Amsterdam", "new zealand": "Wellington", "nigeria": "Abuja", "norway": "Oslo", "pakistan": "Islamabad",
	"peru": "Lima", "philippines": "Manila", "poland": "Warsaw", "portugal": "Lisbon", "romania": "Bucharest",
	"russia": "Moscow", "saudi arabia": "Riyadh", "serbia": "Belgrade", "slovakia": "Bratislava", "slovenia": "Ljubljana",
	"south korea": "Seoul", "spain": "Madrid", "sweden": "Stockholm", "switzerland": "Bern", "thailand": "Bangkok",
	"tunisia": "Tunis", "turkey": "Ankara", "ukraine": "Kyiv", "united kingdom": "London", "uruguay": "Montevideo",
	"venezuela": "Caracas", "vietnam": "Hanoi", "zambia": "Lusaka",
}

// bigCities are what a model names that does not know the capital.
var bigCities = map[string]string{
	"australia": "Sydney", "brazil": "Rio de Janeiro", "canada": "Toronto", "china": "Shanghai", "germany": "Munich",
	"india": "Mumbai", "italy": "Milan", "kenya": "Mombasa", "morocco": "Casablanca", "new zealand": "Auckland",
	"nigeria": "Lagos", "pakistan": "Karachi", "spain": "Barcelona", "switzerland": "Zurich", "turkey": "Istanbul",
	"vietnam": "Ho Chi Minh City", "japan": "Osaka", "netherlands": "The Hague", "ecuador": "Guayaquil", "bolivia": "La Paz",
}

var opposites = both(map[string]string{
	"hot": "cold", "big": "small", "fast": "slow", "early": "late", "light": "dark", "happy": "sad", "open": "closed",
	"full": "empty", "old": "young", "hard": "soft", "high": "low", "rich": "poor", "strong": "weak", "wet": "dry",
	"up": "down", "left": "right", "inside": "outside", "before": "after", "always": "never", "love": "hate",
	"increase": "decrease", "arrive": "depart", "victory": "defeat", "brave": "cowardly", "ancient": "modern",
	"expensive": "cheap", "noisy": "quiet", "generous": "selfish", "deep": "shallow", "sharp": "blunt",
	"accept": "reject", "include": "exclude", "maximum": "minimum", "success": "failure", "north": "south",
	"east": "west", "begin": "end", "push": "pull", "clean": "dirty", "wide": "narrow", "tall": "short",
	"smooth": "rough", "private": "public", "temporary": "permanent", "artificial": "natural", "guilty": "innocent",
	"entrance": "exit", "buy": "sell", "build": "destroy", "remember": "forget", "above": "below", "thick": "thin",
})

// both makes a table work in both directions.
func both(m map[string]string) map[string]string {
	out := make(map[string]string, 2*len(m))
	for k, v := range m {
		out[k], out[v] = v, k
	}
	return out
}

var plurals = map[string]string{
	"mouse": "mice", "child": "children", "foot": "feet", "tooth": "teeth", "goose": "geese", "man": "men", "woman": "women",
	"person": "people", "ox": "oxen", "leaf": "leaves", "knife": "knives", "wolf": "wolves", "half": "halves",
	"cactus": "cacti", "sheep": "sheep", "fish": "fish", "crisis": "crises", "analysis": "analyses", "potato": "potatoes",
	"hero": "heroes", "phenomenon": "phenomena", "criterion": "criteria", "shelf": "shelves", "loaf": "loaves", "thief": "thieves",
}

var pasts = map[string]string{
	"go": "went", "eat": "ate", "run": "ran", "write": "wrote", "think": "thought", "bring": "brought", "buy": "bought",
	"catch": "caught", "teach": "taught", "swim": "swam", "begin": "began", "drink": "drank", "sing": "sang", "fly": "flew",
	"grow": "grew", "know": "knew", "speak": "spoke", "break": "broke", "choose": "chose", "drive": "drove", "freeze": "froze",
	"give": "gave", "take": "took", "see": "saw", "sleep": "slept", "build": "built", "send": "sent", "find": "found", "keep": "kept",
}

var symbols = map[string]string{
	"hydrogen": "H", "helium": "He", "carbon": "C", "nitrogen": "N", "oxygen": "O", "sodium": "Na", "magnesium": "Mg",
	"aluminium": "Al", "aluminum": "Al", "silicon": "Si", "sulfur": "S", "chlorine": "Cl", "potassium": "K", "calcium": "Ca",
	"iron": "Fe", "copper": "Cu", "zinc": "Zn", "silver": "Ag", "tin": "Sn", "gold": "Au", "mercury": "Hg", "lead": "Pb",
}

var weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

var months = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}

// units, in multiples of the smallest of each kind.
var units = map[string]struct {
	kind   string
	factor float64
}{
	"millimeter": {"length", 0.001}, "centimeter": {"length", 0.01}, "meter": {"length", 1}, "kilometer": {"length", 1000},
	"inch": {"imperial", 1}, "inche": {"imperial", 1}, "foot": {"imperial", 12}, "feet": {"imperial", 12}, "yard": {"imperial", 36},
	"milligram": {"mass", 0.001}, "gram": {"mass", 1}, "kilogram": {"mass", 1000}, "tonne": {"mass", 1_000_000},
	"milliliter": {"volume", 0.001}, "liter": {"volume", 1},
	"second": {"time", 1}, "minute": {"time", 60}, "hour": {"time", 3600}, "day": {"time", 86_400}, "week": {"time", 604_800},
	"month": {"calendar", 1}, "year": {"calendar", 12}, "decade": {"calendar", 120}, "century": {"calendar", 1200}, "centurie": {"calendar", 1200},
	"cent": {"money", 1}, "dime": {"money", 10}, "quarter": {"money", 25}, "dollar": {"money", 100},
	"bit": {"data", 1}, "byte": {"data", 8}, "dozen": {"count", 12}, "egg": {"count", 1}, "piece": {"count", 1}, "item": {"count", 1},
	"ounce": {"weight", 1}, "pound": {"weight", 16},
}

var numberWords = map[string]float64{
	"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
	"eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
	"nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
	"hundred": 100, "dozen": 12,
}

var positiveWords = []string{"love", "excellent", "great", "wonderful", "fantastic", "perfect", "delicious", "amazing", "best", "happy",
	"enjoyed", "brilliant", "friendly", "recommend", "superb", "delighted", "beautiful", "impressed", "flawless", "charming", "pleased", "comfortable"}

var negativeWords = []string{"hate", "terrible", "awful", "worst", "broken", "disappoint", "horrible", "rude", "waste", "boring", "poor",
	"refund", "dirty", "cold food", "never again", "useless", "cracked", "late and", "painful", "regret", "noisy", "stale", "crashes", "unusable"}

// topics are the labels that texts are sorted under, by the words in them.
var topics = []struct {
	label string
	words []string
}{
	{"sports", []string{"goal", "match", "team", "league", "coach", "tournament", "championship", "striker", "marathon", "referee", "innings", "season opener"}},
	{"politics", []string{"parliament", "election", "senator", "minister", "vote", "ballot", "coalition", "treaty", "campaign", "legislat"}},
	{"technology", []string{"software", "chip", "smartphone", "processor", "startup", "app ", "robot", "battery", "encryption", "laptop", "cloud comput"}},
	{"food", []string{"recipe", "bake", "oven", "soup", "flavour", "flavor", "chef", "restaurant", "dough", "spice", "noodle"}},
	{"science", []string{"telescope", "physicist", "genome", "molecule", "researchers", "galaxy", "experiment", "fossil", "planet", "laboratory"}},
	{"business", []string{"shares", "profit", "quarter", "merger", "investor", "revenue", "retailer", "market share", "inflation"}},
	{"travel", []string{"flight", "hotel", "beach", "itinerary", "passport", "luggage", "tourist", "hostel", "cruise"}},
	{"health", []string{"doctor", "vaccine", "symptom", "patients", "clinic", "exercise", "sleep", "diet", "hospital"}},
	{"music", []string{"album", "guitar", "concert", "orchestra", "melody", "singer", "drummer", "chorus", "violin"}},
	{"billing", []string{"invoice", "charged", "refund", "payment", "credit card", "subscription fee"}},
	{"shipping", []string{"package", "tracking", "delivery", "courier", "parcel", "shipped"}},
	{"account", []string{"password", "log in", "login", "username", "two-factor", "locked out", "sign in"}},
	{"spam", []string{"winner", "free prize", "click here", "claim your", "lottery", "congratulations", "urgent transfer", "100% free", "act now", "limited offer"}},
	{"question", []string{"?"}},
	{"urgent", []string{"immediately", "asap", "right away", "emergency", "urgent", "down for everyone", "outage"}},
	{"formal", []string{"dear sir", "dear madam", "sincerely", "hereby", "we regret to inform", "yours faithfully", "pursuant"}},
}

// greetings tell languages apart.
var languages = map[string][]string{
	"French": {"bonjour", "merci", "je ", "le ", "est ", "vous"}, "Spanish": {"hola", "gracias", "el ", "está", "dónde", "mañana"},
	"German": {"guten", "ich ", "nicht", "danke", "und ", "der "}, "Italian": {"ciao", "grazie", "sono", "buongiorno", "che ", "dove"},
	"Portuguese": {"obrigado", "bom dia", "você", "não", "muito", "onde"}, "Dutch": {"goedemorgen", "dank je", "ik ", "het ", "niet", "een "},
}

// yesNo are statements a model knows to be right or wrong, by words that all
// must be there.
var yesNo = []struct {
	words []string
	yes   bool
}{
	{[]string{"penguin", "fly"}, false}, {[]string{"whale", "mammal"}, true}, {[]string{"spider", "insect"}, false},
	{[]string{"sun", "star"}, true}, {[]string{"sun", "planet"}, false}, {[]string{"moon", "planet"}, false},
	{[]string{"fish", "gills"}, true}, {[]string{"bat", "bird"}, false}, {[]string{"bat", "mammal"}, true},
	{[]string{"ice", "float"}, true}, {[]string{"copper", "metal"}, true}, {[]string{"wood", "metal"}, false},
	{[]string{"sound", "vacuum"}, false}, {[]string{"triangle", "four sides"}, false}, {[]string{"square", "four"}, true},
	{[]string{"tomato", "fruit"}, true}, {[]string{"dolphin", "fish"}, false}, {[]string{"snake", "legs"}, false},
	{[]string{"iron", "magnet"}, true}, {[]string{"plastic", "magnet"}, false}, {[]string{"frog", "amphibian"}, true},
	{[]string{"octopus", "eight"}, true}, {[]string{"february", "30"}, false}, {[]string{"july", "31"}, true},
	{[]string{"earth", "orbits", "sun"}, true}, {[]string{"sun", "orbits", "earth"}, false},
}

var mixes = []struct{ a, b, result string }{
	{"blue", "yellow", "green"}, {"red", "yellow", "orange"}, {"blue", "red", "purple"}, {"red", "white", "pink"}, {"black", "white", "gray"},
}

// In order, so that answers do not depend on that of a map.
var (
	countries = sortedKeys(capitals)
	elements  = sortedKeys(symbols)
)
