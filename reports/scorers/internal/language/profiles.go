package language

import (
	"strings"
	"sync"
)

// A profile is a language with its commonest words and its letters beyond a-z (or,
// in other scripts, those that its neighbours lack).
type profile struct{ code, words, letters string }

// ofScript are the languages of one script, the likeliest first.
type ofScript struct {
	languages []string
	words     map[string][]int
	letters   map[rune][]int
}

var profiles = sync.OnceValue(func() map[string]*ofScript {
	all := map[string]*ofScript{}
	for script, list := range languages {
		s := &ofScript{words: map[string][]int{}, letters: map[rune][]int{}}
		for i, p := range list {
			s.languages = append(s.languages, p.code)
			for _, w := range strings.Fields(p.words) {
				s.words[w] = append(s.words[w], i)
			}
			for _, r := range p.letters {
				s.letters[r] = append(s.letters[r], i)
			}
		}
		all[script] = s
	}
	return all
})

var languages = map[string][]profile{
	"latin": {
		{"en", "the of and to in is that it for was on are as with his they be at this have from or had by but not what " +
			"all were we when your can there an which their if do will each about how up out them then she " +
			"many some so these " +
			"would into has her two him see could been who its now my than you i he me our us more no just over also new " +
			"because any these give day most very here like hello am", ""},
		{"de", "der die das und ist in den von zu mit sich des auf für nicht ein eine als auch es an werden aus er " +
			"hat dass " +
			"sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr " +
			"durch man sein wurde ich du wir ihr mein dein kann wenn was im dem", "äöüß"},
		{"fr", "le la les de des du et est un une que qui dans en pour pas sur au avec ce il elle je tu nous vous ils " +
			"son sa " +
			"ses par plus ne se mais ou où comme on aux cette été sont être avoir fait tout leur si bien très aussi même " +
			"c'est mon ma mes votre notre entre peut deux à", "éèêëàâçîïôùûüÿœæ"},
		{"es", "el la los las de del y es un una que en por con no se para como más su sus al lo le pero o este esta está " +
			"son fue ha muy también ya hay cuando todo ser sobre entre sin desde yo tú nosotros mi tu si qué porque hasta " +
			"donde quien ese eso cada uno dos tiene puede", "áéíóúñü¿¡"},
		{"pt", "o a os as de do da dos das e é um uma que em por com não se para como mais seu sua ao à no na nos nas " +
			"mas ou " +
			"este esta são foi ser tem muito também já há quando todo sobre entre sem até eu você nós meu minha isso ele ela " +
			"pelo pela está", "áàâãçéêíóôõúü"},
		{"it", "il lo la i gli le di del della dei delle e è un una che in per con non si come più suo sua al alla " +
			"nel nella " +
			"ma o questo questa sono era essere ha molto anche già quando tutto su tra fra senza fino io tu noi voi mio " +
			"cosa perché dove chi ogni ci dal dalla degli", "àèéìíîòóù"},
		{"nl", "de het een en van is dat in te op voor met niet zijn aan er om ook als maar bij door naar of uit ze " +
			"hij wij " +
			"ik je dit die was werd worden heeft hebben nog meer dan over tot deze kan kunnen geen wel zou hun veel onder " +
			"tegen mijn jouw onze", "éëïóöü"},
		{"af", "die en van in is nie het 'n op vir met te wat om dat as sy hy ek jy ons hulle was maar ook by aan uit deur " +
			"nog sal kan word hierdie daardie meer baie toe my jou wees moet sou tot oor na", "êëéèôöîïûü"},
		{"sv", "och att det i en är som på för av med den till inte om han ett var jag hon men vi de sig från så kan " +
			"när nu " +
			"ska har hade eller vad skulle över också efter bara mycket hur mer utan mot där alla detta " +
			"dessa vara blir", "åäöé"},
		{"da", "og at det i en er som på for af med den til ikke om han et var jeg hun men vi de sig fra så kan når " +
			"nu skal " +
			"har havde eller hvad skulle over også efter kun meget hvordan mere uden mod der alle dette disse være bliver " +
			"blev af", "æøåé"},
		{"no", "og at det i en er som på for av med den til ikke om han et var jeg hun men vi de seg fra så kan når " +
			"nå skal " +
			"har hadde eller hva skulle over også etter bare mye hvordan mer uten mot der alle dette disse være blir ble " +
			"noen ei noe går hvor ut oss dere deg meg sier", "æøåéòô"},
		{"fi", "ja on ei että se hän oli en ne joka mutta kun niin ovat myös kuin sen tai jos ole mitä minä sinä me te he " +
			"tämä sitä vain nyt olla voi kanssa sekä mukaan jälkeen ennen kaikki hyvin mikä jo vielä siitä hänen", "äöåšž"},
		{"et", "ja on ei et see ta oli ma sa me te nad mis kes kui aga ka oma või siis nii mitte ning seda selle pole olid " +
			"kuid veel väga juba ainult peab saab kõik tema mina sina meie pärast enne üle koos", "äöõüšž"},
		{"hu", "a az és hogy nem is egy van de ez volt meg csak már még mint vagy ha el ki én te ő mi ti ők be fel le azt " +
			"ezt aki ami lehet kell nagyon itt ott után előtt minden után között szerint voltak", "áéíóöőúüű"},
		{"pl", "i w na nie się z do to że jest o jak ale po co tak za od przez dla czy już tylko być był była było są ich " +
			"jego jej może bardzo ten ta te który która które oraz gdy więc przed ja ty my wy oni tego tym", "ąćęłńóśźż"},
		{"cs", "a v se na je že s z do o to i jako za by ale po co tak jsem jsou byl byla bylo jen který která které nebo " +
			"jeho její když už pro při od ve jak není aby také než před být má mi ty my vy oni velmi", "áčďéěíňóřšťúůýž"},
		{"sk", "a v sa na je že s z do o to aj ako za by ale po čo tak som sú bol bola bolo len ktorý ktorá ktoré alebo " +
			"jeho jej keď už pre pri od vo nie aby tiež než pred byť má mi ty my vy oni veľmi", "áäčďéíĺľňóôŕšťúýž"},
		{"sl", "in je v na se da za so z s ne ki pa po kot bi tudi o od do pri še ali če ker kako to ta sem si smo ste bil " +
			"bila bilo samo njegov njena lahko zelo vse več med pred ko iz tem", "čšž"},
		{"hr", "i je u na se da za su s od ne što kao bi o do po ali ili ako kako to taj ta sam si smo ste bio bila bilo " +
			"samo njegov njezin može vrlo sve više između prije iz koji koja koje nije kada dok te tako", "čćđšž"},
		{"ro", "și în de la a cu că nu o un pe din este pentru se ca mai sau dar ce sunt fost care au fi să al ei el ea " +
			"eu tu noi voi lor prin după până foarte când unde fără acest această acestea într-un sale", "ăâîșşțţ"},
		{"ca", "el la els les de del i és un una que en per amb no es com més seu seva al ho però o aquest aquesta " +
			"són va ha " +
			"molt també ja quan tot ser sobre entre sense fins jo tu nosaltres meu què perquè on qui cada dos dels amb " +
			"hi als", "àèéíïòóúüç·"},
		{"tr", "ve bir bu da de için ile çok ne o ben sen biz siz onlar gibi daha kadar olarak en her ama ya mi mı var yok " +
			"olan sonra değil oldu olduğu ki şey iyi gün nasıl neden bana beni onu şu ise veya", "çğıöşüâîû"},
		{"id", "yang dan di dari ini itu dengan untuk tidak pada dalam adalah ke akan juga atau ada saya anda kami kita " +
			"mereka dia bisa telah oleh sebagai karena seperti lebih dapat orang tersebut sudah hanya saat banyak harus bagi " +
			"apa jika", ""},
		{"tl", "ang ng sa na at mga ay ito ko mo siya ako ikaw kami tayo sila niya nila hindi kung para may mayroon wala " +
			"ngunit dahil ni si kay nang rin din lang pa po opo ating aking iyong isang mga kanyang maging", "ñ"},
		{"sw", "ya na wa kwa ni katika la za cha kuwa au pia hii hiyo yake yao watu kama lakini sana mimi wewe yeye " +
			"sisi nyinyi " +
			"wao hapa huo huu ili tu kila baada kabla zaidi ambayo ambao alikuwa ilikuwa hakuna kutoka hadi wote siku kazi " +
			"mtu vya", ""},
		{"so", "iyo waa oo ku ka in uu la ay soo waxa waxaa aan si ayaa ah isku sidii laakiin kale dadka loo leh aad wuxuu " +
			"waxay markii inuu inay badan lagu kuwa sida hadii ugu", ""},
		{"sq", "dhe i e të në një që për me nga është se si nuk do më ka po kjo ky janë ishte por ose unë ti ne ju ata ajo " +
			"ai tij saj mund kur pa deri çdo shumë vetëm këtë duke gjithë", "çë"},
		{"cy", "y yr a i o yn ar mae am ei eu gan fel ond neu wedi bod oedd roedd sydd dim hyn hwn hon fy dy ni chi nhw hi " +
			"ef beth pan ac nid gyda wrth mewn i'r o'r mwy iawn un dau", "âêîôûŵŷäëïö"},
		{"lt", "ir yra kad su į iš ne tai kaip bet už po nuo iki ar arba jis ji mes jūs jie aš tu buvo būti labai tik dar " +
			"jau jo jos apie per prie kai kas kur kuris kuri visi šis ši taip pat", "ąčęėįšųūž"},
		{"lv", "un ir ka ar no uz par kā bet vai pie pēc līdz es tu viņš viņa mēs jūs viņi bija būt ļoti tikai vēl jau to " +
			"tas tā šis šī kas kur kad lai nav arī viņu pat visi savu", "āčēģīķļņšūž"},
		{"vi", "và là của có không cho được trong một với những các này đã người khi để đến từ tôi bạn chúng ta họ anh em " +
			"rất như nhưng cũng thì về ra lại nhiều vào sẽ phải làm hay hoặc nếu việc trên năm",
			"ăâđêôơưáàảãạắằẳẵặấầẩẫậéèẻẽẹếềểễệíìỉĩị" +
				"óòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ"},
	},
	"cyrillic": {
		{"ru", "и в не на что я с он как это по но они мы она к у из за то так от все его же вы бы для только ещё был была " +
			"было быть или если когда есть уже очень их может который где", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"},
		{"uk", "і в не на що я з він як це по але вони ми вона до у із за то так від все його же ви б для тільки ще був " +
			"була було бути або якщо коли є вже дуже їх може який де та", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя"},
		{"bg", "и в не на че аз с той как това по но те ние тя към от за до така всички го ще вие бих само още беше съм са " +
			"или ако когато има вече много им може който къде да се е си", "абвгдежзийклмнопрстуфхцчшщъьюя"},
		{"mk", "и во не на дека јас со тој како ова по но тие ние таа кон од за до така сите го ќе вие би само уште " +
			"беше сум " +
			"се или ако кога има веќе многу им може кој каде да е си", "абвгдѓежзѕијклљмнњопрстќуфхцчџш"},
	},
	"arabic": {
		{"ar", "في من على إلى أن هذا هذه التي الذي ما لا كان هو هي عن مع كل قد لم أو ثم بين بعد قبل إن كما لكن عند أنا أنت " +
			"نحن هم ذلك و يا غير", "اأإآبتثجحخدذرزسشصضطظعغفقكلمنهويىةءئؤ"},
		{"fa", "و در به از که این را با است برای آن یک خود تا بر هم نیز شد می ما شما من او آنها اما یا هر بود شده کرد دارد " +
			"های چه اگر همه باید", "اآبپتثجچحخدذرزژسشصضطظعغفقکگلمنوهیئءأ"},
		{"ur", "کے میں کی ہے اور سے کا کو اس نے پر ہیں یہ کہ بھی ایک تھا وہ ہو تھے کر جو نہیں لیے ہم آپ میں تو گیا کیا " +
			"کرتے تھی بہت یا", "اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوہھیےئءؤأ"},
	},
	"devanagari": {
		{"hi", "है के में की का और से को पर यह हैं नहीं एक भी कि था ने इस तो हो वह जो कर लिए या थे थी साथ अपने मैं आप हम " +
			"क्या बहुत जब अगर कुछ सभी रहा", ""},
		{"mr", "आहे आणि या च्या हे ते तो ती आहेत नाही एक मध्ये करण्यासाठी होते होता मी तुम्ही आपण आम्ही पण किंवा साठी काही " +
			"त्या त्यांच्या खूप जर सर्व असे म्हणून केले करा की तर हा ही", "ळ"},
		{"ne", "छ र को मा छन् पनि यो हो भने लागि गर्न हरू एक त्यो म तपाईं हामी उनी थियो भएको गरेको धेरै वा तर लाई बाट " +
			"हुन्छ छैन सबै केही तथा गर्ने यस का हुन्", ""},
	},
}
