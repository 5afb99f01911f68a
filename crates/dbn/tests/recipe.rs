//! Recipes: what is written is what is meant, and nothing is silently ignored.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::belief::learning::OptimizerKind;
use candle_core::{Device, Tensor};
use candle_dbn::recipe::{BUILT_IN, BeliefRecipe, MachineMethod, MachineRecipe};
use candle_dbn::{Examples, Recipe};
use rbm_core::{Schedule, Units};

fn settings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn refusal(result: candle_dbn::Result<Recipe>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn every_built_in_recipe_is_valid_and_survives_being_written_out() {
    for (name, _) in BUILT_IN {
        let recipe = Recipe::named(name).unwrap();
        assert_eq!(recipe.name, *name);
        assert_eq!(Recipe::parse(&recipe.to_toml().unwrap()).unwrap(), recipe, "{name}");
    }
    let message = refusal(Recipe::named("dogits"));
    assert!(message.contains("digits") && message.contains("dogits"), "{message}");
}

#[test]
fn settings_reach_their_key() {
    let recipe = Recipe::named("digits").unwrap();
    let changed = recipe.with(&settings(&[
        "seed=7",
        "layers.1.hidden=gaussian:30",
        "layers.*.epochs=3",
        "layers.0.steps=[[0, 1], [2, 5]]",
        "classifier.learning_rate={ from = 0.1, to = 0.01, curve = \"exponential\" }",
    ]));
    let changed = changed.unwrap();
    assert_eq!(changed.seed, 7);
    assert_eq!(changed.layers[1].hidden, Units::gaussian(30));
    assert!(changed.layers.iter().all(|layer| layer.epochs == 3));
    assert_eq!(changed.layers[0].steps, Schedule::Steps(vec![(0, 1.0), (2, 5.0)]));
    assert_eq!(changed.layers[1].steps, recipe.layers[1].steps);
    let rate = &changed.classifier.unwrap().backpropagation.learning_rate;
    assert!((rate.at(99, 100) - 0.01).abs() < 1e-12);
}

/// Cases of so many values, without labels.
fn part(values: Vec<f32>, width: usize) -> Examples {
    let shape = (values.len() / width, width);
    Examples::new(Tensor::from_vec(values, shape, &Device::Cpu).unwrap(), None).unwrap()
}

/// A one-hot code is a run of columns of which exactly one is on in each case of each part; whatever is not is a bit.
#[test]
fn one_hot_codes_are_found() {
    let recipe = Recipe::named("digits").unwrap();
    let recipe = recipe.with(&settings(&["visible=one-hot"])).unwrap();
    let found = |rows: &[&str], others: &[&str]| {
        let values = |rows: &[&str]| {
            let digits = rows.concat();
            digits.bytes().map(|c| f32::from(c - b'0')).collect::<Vec<_>>()
        };
        let parts = [rows, others].map(|rows| part(values(rows), rows[0].len()));
        recipe.visible_units(&[&parts[0], &parts[1]], None).map(|units| units.to_string())
    };
    for (rows, others, expected) in [
        // Two sites of three states, then three bits: one of any value, one constant 1, one constant 0.
        (["100010110", "010100010"], ["001001110", "100010010"], "potts(3):2+bernoulli:3"),
        // The other part holds a case with two ones, one with none.
        (["100010110", "010100010"], ["011001110", "000000010"], "bernoulli:9"),
        // Bits before a site; neighbours that never meet but are not always there are no site.
        (["11010", "00101"], ["01001", "00010"], "bernoulli:3+potts(2):1"),
        (["01", "10"], ["10", "01"], "potts(2):1"),
    ] {
        assert_eq!(found(&rows, &others).unwrap(), expected, "{rows:?} {others:?}");
    }
    let message = found(&["10"], &["01", "02"]).unwrap_err().to_string();
    assert!(message.contains("case 2, value 2") && message.contains("0 or 1"), "{message}");
}

/// The kind of the data layer takes its number from the data; hidden layers have theirs.
#[test]
fn every_kind_of_units_can_be_written() {
    let recipe = Recipe::named("digits").unwrap();
    for (visible, width, expected) in [
        ("spin", 6, "spin:6"),
        ("binomial(16)", 6, "binomial(16):6"),
        ("potts(3)", 6, "potts(3):2"),
        ("multinomial(9)", 6, "multinomial(9):6"),
        ("relu", 6, "relu:6"),
        ("bernoulli:4+potts(2):1", 6, "bernoulli:4+potts(2):1"),
    ] {
        let changed = recipe.with(&settings(&[&format!("visible={visible}")])).unwrap();
        assert_eq!(
            changed.visible_units(&[&part(vec![0.0; width], width)], None).unwrap().to_string(),
            expected
        );
        let hidden = format!("layers.0.hidden={expected}");
        let changed = changed.with(&settings(&[&hidden])).unwrap();
        assert_eq!(changed.layers[0].hidden.to_string(), expected);
        assert_eq!(Recipe::parse(&changed.to_toml().unwrap()).unwrap(), changed);
    }
    let potts = recipe.with(&settings(&["visible=potts(5)"])).unwrap();
    let message = potts.visible_units(&[&part(vec![0.0; 64], 64)], None).unwrap_err().to_string();
    for word in ["potts(5)", "multiple of 5", "64"] {
        assert!(message.contains(word), "{message}");
    }
    // In any group.
    let learned = recipe.with(&settings(&[
        "visible=spin:60+gaussian-learned:4",
        "layers.0.method.cd.visible_step=mean",
    ]));
    assert!(refusal(learned).contains("layers.0.method"));
}

/// Methods that learn from labels are for the machine that has some; drawn bits are for data that are probabilities.
#[test]
fn labels_and_drawn_data_are_where_they_belong() {
    let recipe = Recipe::named("digits-joint").unwrap();
    let top = recipe.layers.len() - 1;
    for method in ["discriminative", "hybrid"] {
        let of =
            |layer: usize| recipe.with(&settings(&[&format!("layers.{layer}.method={method}")]));
        let changed = of(top).unwrap();
        assert_eq!(Recipe::parse(&changed.to_toml().unwrap()).unwrap(), changed);
        let message = refusal(of(0));
        for word in ["layers.0.method", "labels = true", method] {
            assert!(message.contains(word), "{message}");
        }
    }
    assert!(recipe.with(&settings(&["data.pass=sample"])).is_ok());
    for other in ["visible=spin", "standardise=true"] {
        let message = refusal(recipe.with(&settings(&["data.pass=sample", other])));
        assert!(message.contains("data.pass"), "{message}");
    }
}

#[test]
fn a_classifier_can_be_set_where_there_was_none() {
    let recipe = Recipe { classifier: None, ..Recipe::named("digits").unwrap() };
    let changed = recipe.with(&settings(&["classifier.epochs=5"])).unwrap();
    assert_eq!(changed.classifier.unwrap().backpropagation.epochs, 5);
}

/// A misspelt key that is ignored is a wrong result nobody notices.
#[test]
fn what_is_wrong_is_named() {
    let recipe = Recipe::named("digits").unwrap();
    for (setting, word) in [
        ("layers.0.epoch=3", "epoch"),
        ("layers.7.epochs=3", "7"),
        ("layers.0.epochs=many", "many"),
        ("layers.0.hidden=0", "units"),
        ("layers.0.learning_rate=-1", "layers.0.learning_rate"),
        ("layers.0.momentum=[[5, 0.9], [0, 0.5]]", "layers.0.momentum"),
        ("layers.0.offset_rate=1.5", "layers.0.offset_rate"),
        ("layers.0.method.fpcd.decay=1", "layers.0.method.fpcd.decay"),
        ("layers.0.method.pt.replicas=1", "layers.0.method.pt.replicas"),
        ("layers.0.method.mean-field.damping=-0.1", "layers.0.method.mean-field.damping"),
        ("layers.0.method=contrastive", "mean-field"),
        ("layers.0.method.hybrid.generative=-1", "layers.0.method.hybrid.generative"),
        // Nothing learns labels here.
        ("layers.1.method=discriminative", "layers.1.method"),
        ("layers.1.method=hybrid", "labels = true"),
        ("layers.0.batch_size=0", "layers.0.batch_size"),
        ("classifier.dropout_hidden=1", "classifier.dropout_hidden"),
        ("classifier.adversarial.label=-1", "classifier.adversarial"),
        ("classifier.adversarial.label=nan", "classifier.adversarial"),
        ("classifier.adversarial.label=1e300", "classifier.adversarial"),
        ("classifier.adversarial.virtual=-1", "classifier.adversarial"),
        ("data.hold_out_one_in=1", "data.hold_out_one_in"),
        ("visible=potts", "potts"),
        ("sed=3", "sed"),
        ("seed", "key=value"),
        ("seed.x=3", "seed.x"),
    ] {
        let message = refusal(recipe.with(&settings(&[setting])));
        assert!(message.contains(word), "{setting}: {message}");
        assert!(!message.contains('\n'), "{setting}: more than one line: {message}");
    }
}

/// Whoever has a recipe of before learns how to write it now. Catches a key that is only called unknown.
#[test]
fn keys_of_before_are_refused_with_the_new_spelling() {
    for (old, new) in [
        ("chains = 20", "method.pcd.chains"),
        ("fast_rate = 0.1", "method.fpcd.rate"),
        ("fast_decay = 0.9", "method.fpcd.decay"),
        ("replicas = 10", "method.pt.replicas"),
        ("damping = 0.5", "method.mean-field.damping"),
        ("generative = 0.1", "method.hybrid.generative"),
        ("visible_step = \"mean\"", "method.cd.visible_step"),
        ("sparsity_target = 0.1", "sparsity.target"),
        ("sparsity_cost = 0.0", "sparsity = \"none\""),
        ("sparsity_decay = 0.9", "sparsity.decay"),
        ("clip = 0.0", "write \"none\""),
        ("[classifier]\nline_searches = 3", "optimizer.cg.line_searches"),
        ("[classifier]\nvirtual_adversarial = 0.5", "adversarial.virtual"),
        ("[classifier]\nadversarial = 0.5", "{ label = 1.5 }"),
        ("[classifier]\nmax_norm = 0.0", "write \"none\""),
        ("[autoencoder]\naverage_last = 0", "write \"none\""),
    ] {
        let message = refusal(Recipe::parse(&format!("[[layers]]\nhidden = 9\n{old}")));
        assert!(message.contains(new), "{old}: {message}");
        assert!(message.contains("line "), "{old}: {message}");
    }
}

/// What excludes each other is refused together, by the key that is to go. Catches a check that looks at one of two keys.
#[test]
fn training_on_moved_cases_is_refused_beside_what_it_spoils() {
    for (words, key) in [
        (["classifier.adversarial.label=0.5", "classifier.optimizer=cg"], "classifier.adversarial"),
        (
            ["classifier.adversarial.virtual=0.5", "classifier.optimizer=cg"],
            "classifier.adversarial",
        ),
    ] {
        let recipe = Recipe::named("digits").unwrap();
        let message = refusal(recipe.with(&settings(&words)));
        assert!(message.contains(&format!("{key}:")), "{words:?}: {message}");
    }
}

/// Real-valued, counting and persistent learning get rates of their own, and what somebody named is left alone.
#[test]
fn rates_that_nobody_named_follow_units_and_method() {
    let of = |visible: &str, hidden: &str, more: &str| {
        let text = format!("[[layers]]\nhidden = \"{hidden}\"\nbatch_size = 20\n{more}");
        let (recipe, said) = Recipe::parse(&text).unwrap().resolved(&visible.parse().unwrap());
        let layer = recipe.layers[0].clone();
        (
            layer.learning_rate.unwrap().at(0, 10),
            layer.momentum.unwrap().at(9, 10),
            layer.centre,
            said,
        )
    };
    for (visible, hidden, more, rate, momentum) in [
        ("64", "50", "", 0.1, 0.9),
        ("64", "50", "method = \"pcd\"", 0.1, 0.0),
        ("gaussian:30", "50", "", 0.01, 0.9),
        ("gaussian:1000", "50", "", 0.002, 0.9),
        ("gaussian:3+potts(4):2", "50", "", 0.01, 0.9),
        ("binomial(16):64", "50", "", 0.003, 0.9),
        ("relu:64", "50", "", 0.01, 0.9),
        ("multinomial(100):300", "50", "", 0.005, 0.9),
        ("potts(21):48", "50", "", 0.03, 0.9),
        ("potts(21):48", "gaussian:50", "", 0.003, 0.9),
        ("potts(21):48", "gaussian:50", "method = \"pcd\"", 0.009, 0.0),
        ("gaussian:30", "gaussian:5", "", 0.0002, 0.9),
        ("gaussian:30", "50", "optimizer = \"adam\"", 0.001, 0.9),
    ] {
        let (found, last, centre, said) = of(visible, hidden, more);
        assert!((found - rate).abs() < 1e-9, "{visible} {hidden} {more}: {found}");
        assert_eq!((last, centre), (momentum, Some(true)), "{visible} {hidden} {more}");
        assert!(said.unwrap().contains(&rate.to_string()), "{visible} {hidden} {more}");
    }
    let stack = "[[layers]]\nhidden = 50\n[[layers]]\nhidden = 40";
    let above = |visible: &str| {
        let (recipe, _) = Recipe::parse(stack).unwrap().resolved(&visible.parse().unwrap());
        recipe.layers[1].learning_rate.clone().unwrap()
    };
    assert_eq!(above("gaussian:30"), Schedule::Constant(0.01));
    assert_eq!(above("30"), Schedule::Constant(0.1));
    let named = of("gaussian:30", "50", "learning_rate = 0.2");
    assert_eq!(named, (0.2, 0.9, Some(false), None));
    let named =
        of("64", "50", "method = \"pcd\"\nlearning_rate = 0.2\nmomentum = 0.3\ncentre = true");
    assert_eq!(named, (0.2, 0.3, Some(true), None));
}

/// Recipes of machines that earlier versions wrote are read, and what is wrong names its line.
#[test]
fn recipes_of_machines_are_read_and_set() {
    let text = "model = \"bm\"\nvisible = \"bernoulli:9\"\n[learning]\nmethod = \"pt\"\n";
    let recipe = MachineRecipe::parse(text).unwrap();
    assert_eq!(recipe.visible.to_string(), "bernoulli");
    let set = recipe.with(&["learning_rate=.05", "labels=true", "learning.epochs=7"]).unwrap();
    assert_eq!((set.learning.learning_rate, set.learning.epochs), (Some(0.05), Some(7)));
    assert!(set.labels && set.learning.method == Some(MachineMethod::Pt));
    assert_eq!(MachineRecipe::parse(&set.to_toml().unwrap()).unwrap(), set);
    let said = |text: &str| MachineRecipe::parse(text).unwrap_err().to_string();
    let message = said("model = \"bm\"\n[learning]\nepoch = 3\n");
    assert!(message.contains("line 3") && message.contains("did you mean epochs?"), "{message}");
    assert!(said("model = \"bm\"\nhidden = []\n").contains("hidden"));
    assert!(said("model = \"bm\"\nlearning = 3\n").contains("expected a table"));
    let set = |setting: &str| recipe.with(&[setting]).unwrap_err().to_string();
    // As it was typed; and what a key is called now is said of networks alone.
    let message = set("replicas=3");
    assert!(message.starts_with("replicas=3") && !message.contains("method.pt"), "{message}");
    assert!(message.contains("classifier and data.KEY"), "{message}");
    let message = set("posterior=mean-field:0");
    assert!(message.contains("posterior: expected mean-field, mean-field:STEPS"), "{message}");
    assert!(set("batch_size=0").contains("expected a whole number from 1, or \"all\""));
    assert!(set("visible=purple").contains("auto or one-hot"));
}

/// The rates of a built-in recipe are those of its own units and methods, and of the layers below.
#[test]
fn rates_of_other_units_are_forgotten() {
    let digits = Recipe::named("digits").unwrap();
    let rates = |settings: &[&str]| -> Vec<bool> {
        let changed = digits.with(&self::settings(settings)).unwrap();
        let found = digits.clone().without_rates_of_others(&digits, &changed);
        found.layers.iter().map(|layer| layer.learning_rate.is_some()).collect()
    };
    assert_eq!(rates(&["layers.*.epochs=3", "layers.0.hidden=70"]), [true, true]);
    assert_eq!(rates(&["visible=bernoulli"]), [true, true]);
    assert_eq!(rates(&["visible=gaussian"]), [false, false]);
    // What is found may be anything.
    assert_eq!(rates(&["visible=one-hot"]), [false, false]);
    assert_eq!(rates(&["layers.1.method=pcd"]), [true, false]);
    assert_eq!(rates(&["layers.1.hidden=gaussian:5"]), [true, false]);
}

/// Small tables are gone through more often, by fewer layers.
#[test]
fn the_recipe_of_tables_is_sized_by_the_data() {
    let sized = |cases, width| Recipe::named("table").unwrap().sized(cases, width);
    let (small, large) = (sized(178, 13), sized(100_000, 300));
    assert_eq!((small.layers.len(), large.layers.len()), (1, 2));
    assert_eq!((small.layers[0].hidden.width(), large.layers[0].hidden.width()), (64, 500));
    assert!(small.layers[0].epochs > 10 * large.layers[0].epochs);
    for recipe in [small, large, sized(1, 1)] {
        Recipe::parse(&recipe.to_toml().unwrap()).unwrap();
    }
}

/// A setting of a key that is within its range, and one that is not.
fn held_against(range: &str) -> (Vec<String>, Vec<String>) {
    let text = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let words: Vec<_> = range.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    let number = |at: usize| -> f64 { range.split(' ').nth(at).unwrap().parse().unwrap() };
    match range {
        "true or false" => (text(&["true", "false"]), text(&["3", "maybe"])),
        "0 to 18446744073709551615" => {
            (text(&["0", "\"18446744073709551615\""]), text(&["-1", "\"18446744073709551616\""]))
        }
        "above 0, below 1" => (text(&["0.5"]), text(&["0", "1"])),
        _ if range.starts_with("0 to below 1") => (text(&["0", "0.5"]), text(&["-0.1", "1"])),
        _ if range.starts_with("a number above 0") => {
            let within = text(&["0.5", "255"]).into_iter().chain(words);
            (within.collect(), text(&["0", "-1", "inf", "nonsense"]))
        }
        _ if range.starts_with("0, or 2") => {
            let mut beyond = text(&["1"]);
            beyond.extend(range.contains("2 to").then(|| (number(4) + 1.0).to_string()));
            (text(&["0", "2"]), beyond)
        }
        _ if range.contains(" or more") => {
            let least = number(0);
            (vec![least.to_string()], vec![(least - 1.0).to_string()])
        }
        _ if range.starts_with(|c: char| c.is_ascii_digit()) => {
            let (least, most) = (number(0), number(2));
            (
                vec![least.to_string(), most.to_string()],
                vec![(least - 1.0).to_string(), (most + 1.0).to_string()],
            )
        }
        _ if words.iter().any(|word| !word.is_empty()) => {
            let known = words.iter().filter(|word| !word.contains(char::is_uppercase));
            let is_free = ["letters", "a path", "a column"].iter().any(|any| range.contains(any));
            (known.cloned().collect(), if is_free { vec![] } else { text(&["nonsense", "2.5"]) })
        }
        _ => (vec![], text(&["{ a = 1 }"])),
    }
}

/// What doc comments, and so the page of keys and printed recipes, say that a key may hold is what it may hold; and every key is told of.
#[test]
fn keys_hold_what_their_doc_comments_say() {
    let whole = Recipe::named("digits-joint").unwrap();
    let coder = Recipe::named("digits-autoencoder").unwrap();
    let regressor =
        Recipe { autoencoder: None, regressor: coder.autoencoder.clone(), ..coder.clone() };
    let classifier = Recipe::named("digits").unwrap();
    let mut told = 0;
    for keys in candle_dbn::recipe::keys().unwrap() {
        let (recipe, path) = match keys.table {
            "" => (&whole, String::new()),
            "layers" => (&whole, "layers.2.".to_owned()),
            "classifier" => (&classifier, "classifier.".to_owned()),
            "regressor" => (&regressor, "regressor.".to_owned()),
            "autoencoder" => (&coder, "autoencoder.".to_owned()),
            table => (&whole, format!("{table}.")),
        };
        assert!(!keys.about.is_empty(), "{}", keys.table);
        let table: toml::Table = recipe.to_toml().unwrap().parse().unwrap();
        let written = match table.get(keys.table) {
            None => &table,
            Some(toml::Value::Array(layers)) => layers[0].as_table().unwrap(),
            Some(other) => other.as_table().unwrap(),
        };
        for (name, value) in written {
            let is_told = keys.keys.iter().any(|key| key.name == *name);
            let is_table = value.is_table() || name == "layers";
            assert!(
                is_told || is_table && keys.table.is_empty(),
                "{path}{name}: no Range: in its doc comment"
            );
        }
        for key in &keys.keys {
            let (name, text) = (format!("{path}{}", key.name), key.text());
            assert!(key.about.len() > 10 && !text.contains("[`"), "{name}: {text}");
            for part in ["Range: ", "Default: ", "Used by: "] {
                assert!(text.contains(part), "{name}: {part}{text}");
            }
            let range = key.range.split_once(". ").unwrap().0.strip_prefix("Range: ").unwrap();
            let range = range.split(';').next().unwrap();
            let (within, beyond) = held_against(range);
            let put = |value: &String| {
                let setting = format!("{name}={value}");
                recipe.with(&settings(&[&setting]))
            };
            for value in &within {
                assert!(put(value).is_ok(), "{name}={value} ({range}): {:?}", put(value));
            }
            for value in &beyond {
                assert!(put(value).is_err(), "{name}={value} is not in {range}");
            }
            told += 1;
        }
    }
    assert!(told > 90, "{told}");
}

/// A recipe with comments is the same recipe, and says what its keys are in the words of the doc comments.
#[test]
fn a_printed_recipe_is_the_recipe() {
    for (name, _) in BUILT_IN {
        let recipe = Recipe::named(name).unwrap();
        let text = recipe.to_commented_toml().unwrap();
        assert_eq!(Recipe::parse(&text).unwrap(), recipe, "{name}: {text}");
        assert!(
            text.lines().all(|line| !line.starts_with('#') || line.chars().count() <= 170),
            "{name}"
        );
        let words = text.replace("\n#", "");
        for keys in candle_dbn::recipe::keys()
            .unwrap()
            .iter()
            .filter(|keys| ["", "data", "layers"].contains(&keys.table))
        {
            for key in &keys.keys {
                assert!(words.contains(&key.text()), "{name}: {}", key.text());
            }
        }
    }
}

/// The list of recipes says of each what it is for.
#[test]
fn every_built_in_recipe_says_what_it_is_for() {
    for summary in candle_dbn::recipe::summaries() {
        let words = [summary.what, summary.data, summary.takes];
        assert!(words.iter().all(|text| !text.is_empty() && text.len() < 45), "{summary:?}");
    }
}

/// A key of belief nets had another spelling, and runs that have it are read.
#[test]
fn belief_nets_of_earlier_versions_are_read() {
    for line in ["optimiser = \"sgd\"", "optimiser=\"sgd\"", "  optimiser = 'sgd'"] {
        let text = format!("model = \"belief\"\n[learning]\n{line}\n");
        let recipe = BeliefRecipe::parse(&text).unwrap();
        assert_eq!(recipe.learning.optimizer, Some(OptimizerKind::Sgd));
    }
    assert!(BeliefRecipe::parse("model = \"belief\"\n[learning]\noptimisers = \"sgd\"\n").is_err());
}
