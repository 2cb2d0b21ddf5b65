package language

import "testing"

// TestDetect: a sentence or two of each language.
func TestDetect(t *testing.T) {
	for want, text := range map[string]string{
		"en":    "The quick brown fox jumps over the lazy dog, and then it goes home.",
		"de":    "Der schnelle braune Fuchs springt über den faulen Hund und geht dann nach Hause.",
		"fr":    "Le renard brun saute par-dessus le chien paresseux, et il rentre à la maison.",
		"es":    "El zorro marrón salta sobre el perro perezoso y luego se va a su casa.",
		"pt":    "A raposa marrom salta sobre o cão preguiçoso e depois vai para a sua casa.",
		"it":    "La volpe marrone salta sopra il cane pigro e poi se ne va a casa sua.",
		"nl":    "De snelle bruine vos springt over de luie hond en gaat dan naar huis.",
		"af":    "Die vinnige bruin jakkals spring oor die lui hond en gaan dan huis toe.",
		"sv":    "Den snabba bruna räven hoppar över den lata hunden och går sedan hem.",
		"da":    "Den hurtige brune ræv hopper over den dovne hund og går så hjem; det er ikke af betydning.",
		"no":    "Den raske brune reven hopper over den late hunden og går så hjem; det er ikke noe viktig.",
		"fi":    "Nopea ruskea kettu hyppää laiskan koiran yli ja menee sitten kotiin, mutta se ei ole tärkeää.",
		"et":    "Kiire pruun rebane hüppab üle laisa koera ja läheb siis koju, aga see ei ole oluline.",
		"hu":    "A gyors barna róka átugrik a lusta kutya felett, és aztán hazamegy.",
		"pl":    "Szybki brązowy lis przeskakuje nad leniwym psem i potem idzie do domu.",
		"cs":    "Rychlá hnědá liška skáče přes líného psa a potom jde domů, ale to není důležité.",
		"sk":    "Rýchla hnedá líška skáče cez lenivého psa a potom ide domov, ale to nie je dôležité.",
		"sl":    "Hitra rjava lisica skoči čez lenega psa in potem gre domov, ker je to tudi lahko.",
		"hr":    "Brza smeđa lisica skače preko lijenog psa i onda ide kući, ali to nije važno kao što je bilo.",
		"ro":    "Vulpea maro sare peste câinele leneș și apoi merge acasă, dar nu este important.",
		"ca":    "La guineu marró salta sobre el gos mandrós i després se'n va a casa amb els seus amics.",
		"tr":    "Hızlı kahverengi tilki tembel köpeğin üzerinden atlar ve sonra eve gider.",
		"id":    "Rubah cokelat yang cepat melompati anjing yang malas dan kemudian pulang ke rumah dengan tidak.",
		"tl":    "Ang mabilis na kayumangging soro ay tumalon sa ibabaw ng tamad na aso at umuwi siya.",
		"sw":    "Mbweha wa kahawia anaruka juu ya mbwa mvivu na kisha anakwenda nyumbani kwa haraka.",
		"so":    "Waxaan jeclahay inaan aado guriga, laakiin waa in aan sugo ilaa ay ka yimaadaan dadka.",
		"sq":    "Dhelpra kafe kërcen mbi qenin dembel dhe pastaj shkon në shtëpi, por kjo nuk është e rëndësishme.",
		"cy":    "Mae'r llwynog brown yn neidio dros y ci diog ac yna mae wedi mynd adref gyda ni.",
		"lt":    "Greita ruda lapė peršoka per tingų šunį ir tada eina namo, bet tai nėra svarbu.",
		"lv":    "Ātrā brūnā lapsa lec pāri slinkajam sunim un tad iet mājās, bet tas nav svarīgi.",
		"vi":    "Con cáo nâu nhanh nhẹn nhảy qua con chó lười và sau đó về nhà.",
		"ru":    "Быстрая коричневая лиса прыгает через ленивую собаку, а потом идёт домой.",
		"uk":    "Швидка руда лисиця стрибає через ледачого собаку, а потім іде додому.",
		"bg":    "Бързата кафява лисица прескача мързеливото куче и след това си отива у дома.",
		"mk":    "Брзата кафеава лисица скока преку мрзливото куче и потоа си оди дома, но тоа не е важно ќе.",
		"ar":    "يقفز الثعلب البني السريع فوق الكلب الكسول ثم يعود إلى البيت.",
		"fa":    "روباه قهوه\u200cای سریع از روی سگ تنبل می\u200cپرد و سپس به خانه می\u200cرود.",
		"ur":    "تیز بھوری لومڑی سست کتے کے اوپر سے چھلانگ لگاتی ہے اور پھر گھر جاتی ہے۔",
		"hi":    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर से कूदती है और फिर घर जाती है।",
		"mr":    "चपळ तपकिरी कोल्हा आळशी कुत्र्यावरून उडी मारतो आणि मग घरी जातो, हे खरे आहे.",
		"ne":    "छिटो खैरो फ्याउरो अल्छी कुकुरमाथि उफ्रिन्छ र त्यसपछि घर जान्छ, यो राम्रो हो।",
		"ja":    "素早い茶色の狐は怠け者の犬を飛び越えて、それから家に帰る。",
		"zh-cn": "敏捷的棕色狐狸跳过懒狗，然后回家了。这是我们说的。",
		"zh-tw": "敏捷的棕色狐狸跳過懶狗，然後回家了。這是我們說的。",
		"ko":    "빠른 갈색 여우가 게으른 개를 뛰어넘고 집으로 간다.",
		"th":    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ", "bn": "দ্রুত বাদামী শিয়াল অলস কুকুরের উপর লাফ দেয়।",
		"gu": "ઝડપી ભૂરું શિયાળ આળસુ કૂતરા ઉપર કૂદે છે.", "pa": "ਤੇਜ਼ ਭੂਰੀ ਲੂੰਬੜੀ ਆਲਸੀ ਕੁੱਤੇ ਉੱਤੇ ਛਾਲ ਮਾਰਦੀ ਹੈ।",
		"kn": "ವೇಗದ ಕಂದು ನರಿ ಸೋಮಾರಿ ನಾಯಿಯ ಮೇಲೆ ಹಾರುತ್ತದೆ.",
		"ml": "വേഗതയുള്ള തവിട്ടു കുറുക്കൻ മടിയൻ നായയുടെ മുകളിലൂടെ ചാടുന്നു.",
		"ta": "வேகமான பழுப்பு நரி சோம்பேறி நாயின் மீது குதிக்கிறது.", "te": "వేగవంతమైన గోధుమ నక్క సోమరి కుక్కపై దూకుతుంది.",
		"el": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.", "he": "השועל החום המהיר קופץ מעל הכלב העצלן.",
		"": "12345 … !?",
	} {
		if got := Detect(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
