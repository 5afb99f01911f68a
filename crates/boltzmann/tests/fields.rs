//! Markov random fields beside numbers that were counted elsewhere: four cliques, a burglary, lattices, glasses.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::lattice::{Boundary, plus_minus, potts};
use candle_boltzmann::{Clique, Graph, MarkovField};
use candle_core::{DType, Device, Tensor};
use rbm_core::estimate::{AisOptions, BidirectionalAis, log_partition};
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::sampling::{AnnealingPath, TemperedSearch};
use rbm_core::{Gibbs, Kernel, Rng};

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() < tolerance, "{found}, expected {expected}");
}

/// φ(A, B, C)·φ(A, D), variables A to D.
fn cliques() -> MarkovField {
    let abc = [1.0, 2.0, 0.5, 3.0, 4.0, 0.25, 1.5, 6.0];
    MarkovField::of_potentials(&[2; 4], &[(&[0, 1, 2], &abc), (&[0, 3], &[4.0, 0.23, 5.0, 9.45])])
        .unwrap()
}

/// φ(A, D) alone: Z and p(0, 0), p(0, 1), p(1, 0), p(1, 1) at four temperatures, at which a potential is φ^(1/τ). It would catch a temperature
/// that the exponent takes the other way round.
#[test]
fn one_clique_at_four_temperatures() {
    let field = MarkovField::of_potentials(&[2, 2], &[(&[0, 1], &[4.0, 0.23, 5.0, 9.45])]).unwrap();
    for (tau, z, p) in [
        (0.5, 130.3554, [0.122741367, 0.000405814, 0.191783386, 0.685069433]),
        (1.0, 18.68, [0.214132762, 0.012312634, 0.267665953, 0.505888651]),
        (2.0, 7.78973635962, [0.256748099, 0.061566031, 0.287053101, 0.394632769]),
        (4.0, 5.35538870851, [0.264073, 0.129312635, 0.279223202, 0.327391164]),
    ] {
        let found = field.infer(tau, &[]).unwrap();
        close(found.log_partition, f64::ln(z), 1e-9);
        found.cliques[0].iter().zip(p).for_each(|(found, p)| close(*found, p, 1e-9));
    }
    // As the temperature falls all of p comes to one combination.
    close(field.infer(0.02, &[]).unwrap().cliques[0][3], 1.0, 1e-9);
}

#[test]
fn four_variables_in_two_cliques() {
    let field = cliques();
    let expected = [
        (
            0.5,
            8.7697880994,
            [0.9644616070, 0.7022983597, 0.6728057395, 0.7536337246],
            0.6617201980,
            0.7693284126,
            0.4994540496,
        ),
        (
            1.0,
            5.2846367117,
            [0.8606313282, 0.6243838151, 0.5649892920, 0.5704129865],
            0.5037953189,
            0.6006725515,
            0.2874051170,
        ),
        (
            2.0,
            3.8026649341,
            [0.7314990765, 0.5702493372, 0.5235033686, 0.4754015053],
            0.3860274150,
            0.4970485500,
            0.1680022631,
        ),
    ];
    for (tau, log_z, ones, both, given, most) in expected {
        let found = field.infer(tau, &[]).unwrap();
        close(found.log_partition, log_z, 1e-9);
        for (marginal, one) in found.marginals.iter().zip(ones) {
            close(marginal[1], one, 1e-9);
            close(marginal[0] + marginal[1], 1.0, 1e-12);
        }
        // B = C = 1, from the table of A, B, C.
        close(found.cliques[0][3] + found.cliques[0][7], both, 1e-9);
        close(field.infer(tau, &[(1, 1), (2, 0)]).unwrap().marginals[3][1], given, 1e-9);
        let mode = field.mode(&[]).unwrap();
        assert_eq!((mode.states, mode.count), (vec![1, 1, 1, 1], 1.0));
        close((mode.log_potential / tau - log_z).exp(), most, 1e-9);
    }
}

/// The same field at another temperature, as a machine.
fn machine_of(field: &MarkovField, tau: f64) -> Machine {
    let mut field = field.clone();
    for clique in &mut field.cliques {
        clique.log_potential.iter_mut().for_each(|x| *x /= tau);
    }
    field.machine(DType::F64, &Device::Cpu).unwrap()
}

/// p of every column of a small machine by going through all of its configurations, in the order of the variables.
fn marginals(machine: &Machine) -> Vec<f64> {
    let rest = machine.rest().discrete().unwrap();
    let all = rest.configuration(0..rest.configurations().unwrap()).unwrap();
    let log_p = machine.free_energy(&all).unwrap().neg().unwrap();
    let p = (log_p - log_partition(machine).unwrap()).unwrap().exp().unwrap();
    let none = all.narrow(1, 0, 0).unwrap();
    let columns = machine.configuration(&all, &none).unwrap();
    columns.broadcast_mul(&p.unsqueeze(1).unwrap()).unwrap().sum(0).unwrap().to_vec1().unwrap()
}

/// Fields of cliques of several shapes, a variable of four states, a scope twice, one the other way round, and a number without a variable.
fn mixed() -> MarkovField {
    let mut k = 0.0;
    let mut table = |size: usize| -> Vec<f64> {
        let number = |_| {
            k += 1.0;
            ((k * 2.399963f64).sin() * 1.3).exp()
        };
        (0..size).map(number).collect()
    };
    let scopes: [&[usize]; 9] = [
        &[0, 1, 2],
        &[2, 1, 0],
        &[3, 0, 4],
        &[1, 3],
        &[3, 1],
        &[4],
        &[],
        &[5, 4, 2, 0],
        &[0, 1, 2],
    ];
    let states = [2, 3, 2, 4, 3, 1];
    let tables: Vec<Vec<f64>> =
        scopes.iter().map(|of| table(of.iter().map(|v| states[*v]).product())).collect();
    let cliques = scopes.iter().zip(&tables).map(|(scope, table)| (*scope, &table[..]));
    MarkovField::of_potentials(&states, &cliques.collect::<Vec<_>>()).unwrap()
}

/// As a machine a field has the log Z and the marginals that elimination finds, and the energy of every configuration.
#[test]
fn a_field_is_a_machine() {
    for (tau, log_z, one) in [
        (0.5, 8.7697880994, 0.9644616070),
        (1.0, 5.2846367117, 0.8606313282),
        (2.0, 3.8026649341, 0.7314990765),
    ] {
        let machine = machine_of(&cliques(), tau);
        close(log_partition(&machine).unwrap(), log_z, 1e-9);
        close(marginals(&machine)[1], one, 1e-9);
    }
    let field = mixed();
    for tau in [0.7, 1.0, 3.0] {
        let (machine, exact) = (machine_of(&field, tau), field.infer(tau, &[]).unwrap());
        close(log_partition(&machine).unwrap(), exact.log_partition, 1e-9);
        for (found, exact) in marginals(&machine).iter().zip(exact.marginals.concat()) {
            close(*found, exact, 1e-9);
        }
    }
    let grid = MarkovField::of_graph(&potts(3, 3, 3).unwrap()).unwrap();
    let machine = machine_of(&grid, 1.0);
    close(log_partition(&machine).unwrap(), grid.infer(1.0, &[]).unwrap().log_partition, 1e-9);
}

/// log Z of a field from both sides, by annealed importance sampling and by Bennett's ratio, beside elimination; and chains at equilibrium.
#[test]
fn log_z_of_a_field_comes_from_both_sides() {
    // Four-cliques on a lattice of 6 by 6 variables.
    let at = |row: usize, column: usize| 6 * row + column;
    let corners = (0..5).flat_map(|row| (0..5).map(move |column| (row, column)));
    let scopes: Vec<_> =
        corners.map(|(r, c)| [at(r, c), at(r, c + 1), at(r + 1, c), at(r + 1, c + 1)]).collect();
    let states: Vec<usize> = (0..36).map(|variable| 2 + variable % 2).collect();
    let mut k = 0.0;
    let cliques = scopes.iter().map(|scope| {
        let size: usize = scope.iter().map(|v| states[*v]).product();
        let number = |_| {
            k += 1.0;
            (k * 2.399963f64).sin()
        };
        Clique { scope: scope.to_vec(), log_potential: (0..size).map(number).collect() }
    });
    let field = MarkovField::new(states.clone(), cliques.collect()).unwrap();
    let (machine, exact) = (machine_of(&field, 1.0), field.infer(1.0, &[]).unwrap());
    let options = AisOptions { chains: 200, betas: 300, both: true, seed: 1, ..Default::default() };
    let path = AnnealingPath::temperature(&machine).unwrap();
    let mut sides = BidirectionalAis::new(&machine, path, options).unwrap();
    while !sides.is_done() {
        sides.step().unwrap();
    }
    let found = sides.found();
    for estimate in [found.forward, found.reverse, found.bridge] {
        let estimate = estimate.unwrap();
        close(estimate.value, exact.log_partition, 4.0 * estimate.error.max(1e-4));
        assert!(estimate.error < 0.1, "{estimate:?}");
    }
    let mut rng = Rng::new(3);
    let none = machine.rest().sample(
        &Tensor::zeros((4000, machine.rest().units().width()), DType::F64, &Device::Cpu).unwrap(),
        &mut rng,
    );
    let mut chains = Gibbs::default().init(&machine, none.unwrap(), &mut rng).unwrap();
    Gibbs::default().advance(&machine, &mut chains, 40, &mut rng).unwrap();
    let all = machine.configuration(&chains.visible, &chains.hidden).unwrap();
    let means = all.mean(0).unwrap().to_vec1::<f64>().unwrap();
    // Four standard errors of 4,000 chains at most.
    for (found, exact) in means.iter().zip(exact.marginals.concat()) {
        close(*found, exact, 4.0 * (exact * (1.0 - exact) / 4000.0).sqrt());
    }
}

/// The evidence changes p: two causes that explain the same effect. Pearl's burglary alarm: B, E, A, J, M.
#[test]
fn an_earthquake_explains_the_alarm_away() {
    let alarm = [0.999, 0.001, 0.71, 0.29, 0.06, 0.94, 0.05, 0.95];
    let field = MarkovField::of_potentials(
        &[2; 5],
        &[
            (&[0], &[0.999, 0.001]),
            (&[1], &[0.998, 0.002]),
            (&[0, 1, 2], &alarm),
            (&[2, 3], &[0.95, 0.05, 0.1, 0.9]),
            (&[2, 4], &[0.99, 0.01, 0.3, 0.7]),
        ],
    )
    .unwrap();
    let burglary = |given: &[(usize, usize)]| field.infer(1.0, given).unwrap().marginals[0][1];
    close(field.infer(1.0, &[]).unwrap().log_partition, 0.0, 1e-12);
    close(burglary(&[(3, 1), (4, 1)]), 0.2841718354, 1e-9);
    close(burglary(&[(2, 1)]), 0.3735512283, 1e-9);
    close(burglary(&[(2, 1), (1, 1)]), 0.0032684236, 1e-9);
    // By sampling too, evidence held: p = 0.374 from 200,000 sweeps of chains that forget in a few.
    let walk = [8, 25_000];
    let sampled = field.sample(1.0, &[(2, 1)], walk, &mut Rng::new(1), |_| true).unwrap();
    assert!(sampled.r_hat.unwrap() < 1.01, "{:?}", sampled.r_hat);
    let (beliefs, errors) = (sampled.beliefs, sampled.errors);
    close(beliefs.marginals[0][1], 0.3735512283, 4.0 * errors.marginals[0][1]);
    assert!((0.0005..0.01).contains(&errors.marginals[0][1]), "{}", errors.marginals[0][1]);
    assert_eq!(
        (&beliefs.marginals[2][..], &errors.marginals[2][..]),
        (&[0.0, 1.0][..], &[0.0; 2][..])
    );
    // Tables have errors of their own, and the best state that was seen is the most probable one of so small a net.
    let (table, of_table) = (&beliefs.cliques[2], &errors.cliques[2]);
    close(table.iter().sum(), 1.0, 1e-12);
    let exact = field.infer(1.0, &[(2, 1)]).unwrap();
    for ((p, error), exact) in table.iter().zip(of_table).zip(&exact.cliques[2]) {
        close(*p, *exact, 5.0 * error.max(1e-4));
    }
    let mode = field.mode(&[(2, 1)]).unwrap();
    assert_eq!(sampled.best.states, [mode.states]);
    close(sampled.best.energies.0[0], -mode.log_potential, 1e-12);
}

/// Evidence makes a smaller field of the same sums, at any temperature; a clique that is known whole stays as a number.
#[test]
fn a_field_under_evidence_is_a_field() {
    let field = cliques();
    for tau in [0.5, 1.0, 3.0] {
        for given in [&[(1, 1)][..], &[(3, 0), (0, 1)], &[(0, 0), (1, 1), (2, 0)]] {
            let whole = field.infer(tau, given).unwrap();
            let part = field.conditioned(tau, given).unwrap().infer(1.0, &[]).unwrap();
            close(part.log_partition, whole.log_partition, 1e-12);
            let is_free = |v: &usize| given.iter().all(|(known, _)| known != v);
            let free: Vec<usize> = (0..4).filter(is_free).collect();
            assert_eq!(part.marginals.len(), free.len());
            for (variable, marginal) in free.into_iter().zip(&part.marginals) {
                close(marginal[1], whole.marginals[variable][1], 1e-12);
            }
        }
    }
    assert!(field.conditioned(1.0, &[(0, 0), (1, 1), (2, 0), (3, 0)]).is_err());
}

/// Replicas that exchange temperatures find ground states, of variables of any number of states.
#[test]
fn tempering_finds_ground_states_of_fields() {
    let lattice = plus_minus(8, 8, Boundary::Open, 1).unwrap();
    let field = MarkovField::of_graph(&lattice).unwrap();
    let search = TemperedSearch { coldest: 0.3, hottest: 3.0, sweeps: 2000, has_clusters: false };
    let found = field.search(&search, 2, &mut Rng::new(1), |_, _| true).unwrap();
    assert_eq!(found.energies.0, [-76.0, -76.0]);
    for (states, energy) in found.states.iter().zip(&found.energies.0) {
        close(-field.log_potential(states).unwrap(), *energy, 1e-9);
    }
    // A Potts glass of three states in cliques of three, beside elimination.
    let mut k = 0.0f64;
    let cliques = (0..18).map(|at| {
        let log_potential = (0..27).map(|_| {
            k += 1.0;
            2.0 * (k * 2.399963).sin()
        });
        Clique { scope: vec![at, at + 1, at + 2], log_potential: log_potential.collect() }
    });
    let chain = MarkovField::new(vec![3; 20], cliques.collect()).unwrap();
    let lowest = -chain.mode(&[]).unwrap().log_potential;
    let found = chain.search(&search, 3, &mut Rng::new(2), |_, _| true).unwrap();
    found.energies.0.iter().for_each(|energy| close(*energy, lowest, 1e-9));
    // It ends where it is told to.
    let mut looks = 0;
    let stop = |_, _| {
        looks += 1;
        false
    };
    chain.search(&search, 1, &mut Rng::new(2), stop).unwrap();
    assert_eq!(looks, 1);
    assert!(chain.search(&search, 0, &mut Rng::new(2), |_, _| true).is_err());
}

/// By elimination as by going through all rows of the lattice.
#[test]
fn lattices_have_their_partition_functions_and_ground_states() {
    // Side and seed of ±J lattices; the lowest energy and the number of ground states, open and as a cylinder, by going through all rows.
    let known = [
        (4, 1, (-18.0, 8.0), (-20.0, 6.0)),
        (4, 2, (-18.0, 8.0), (-20.0, 2.0)),
        (4, 3, (-20.0, 4.0), (-22.0, 4.0)),
        (8, 1, (-76.0, 3418.0), (-80.0, 2408.0)),
        (8, 2, (-84.0, 68.0), (-86.0, 108.0)),
        (8, 3, (-86.0, 36.0), (-88.0, 624.0)),
        (12, 1, (-202.0, 84.0), (-206.0, 2232.0)),
        (12, 2, (-190.0, 217_986.0), (-192.0, 26_684_544.0)),
        (12, 3, (-194.0, 336.0), (-198.0, 384.0)),
        (16, 1, (-342.0, 1_046_960_640.0), (-350.0, 12_911_360.0)),
        (16, 2, (-350.0, 3_137_280.0), (-354.0, 1_109_093_120.0)),
        (16, 3, (-352.0, 5_512_320.0), (-358.0, 42_120.0)),
    ];
    for (side, seed, open, cylinder) in known {
        for (boundary, (energy, count)) in [(Boundary::Open, open), (Boundary::Cylinder, cylinder)]
        {
            let graph = plus_minus(side, side, boundary, seed).unwrap();
            let mode = MarkovField::of_graph(&graph).unwrap().mode(&[]).unwrap();
            assert_eq!(
                (-mode.log_potential, mode.count),
                (energy, count),
                "{side} {seed} {boundary:?}"
            );
            let x: Vec<f64> = mode.states.iter().map(|state| 2.0 * *state as f64 - 1.0).collect();
            close(graph.energy(&x).unwrap(), energy, 1e-9);
        }
    }
    // log Z of the open ones at β = ½, 1 and 2.
    let known = [
        (8, 1, [57.1990044978, 87.1017349167, 160.4292441345]),
        (8, 2, [57.9770023048, 91.7240844314, 172.7499417222]),
        (8, 3, [58.1153040366, 92.5714839397, 175.8954521369]),
        (12, 1, [132.1403229665, 212.6542463648, 408.9676909116]),
        (12, 2, [131.3347111378, 208.1095529526, 392.7876300945]),
        (12, 3, [131.5659701996, 208.2989016748, 394.8145427259]),
        (16, 1, [235.1317483812, 374.3812069206, 706.3723953367]),
    ];
    for (side, seed, known) in known {
        let graph = plus_minus(side, side, Boundary::Open, seed).unwrap();
        let glass = MarkovField::of_graph(&graph).unwrap();
        for (beta, log_z) in [0.5, 1.0, 2.0].into_iter().zip(known) {
            close(glass.infer(1.0 / beta, &[]).unwrap().log_partition, log_z, 1e-8);
        }
    }
    // However it is turned, a long lattice is as wide as its short side.
    for (rows, columns) in [(100, 16), (16, 100)] {
        let graph = plus_minus(rows, columns, Boundary::Open, 1).unwrap();
        let width = MarkovField::of_graph(&graph).unwrap().elimination_order(&[]).unwrap().width();
        assert!(width <= 20.0, "{rows}x{columns}: {width}");
    }
}

/// A variable that is clamped is a field without it; marginals are derivatives, and add up within cliques.
#[test]
fn evidence_and_marginals_agree() {
    let field = MarkovField::of_graph(&potts(3, 3, 3).unwrap()).unwrap();
    let free = field.infer(0.7, &[]).unwrap();
    let given: Vec<f64> =
        (0..3).map(|state| field.infer(0.7, &[(4, state)]).unwrap().log_partition).collect();
    for (state, log_z) in given.iter().enumerate() {
        close(free.marginals[4][state], (log_z - free.log_partition).exp(), 1e-12);
    }
    for (clique, table) in field.cliques.iter().zip(&free.cliques) {
        close(table.iter().sum(), 1.0, 1e-9);
        let first: f64 = table[..3].iter().sum();
        close(first, free.marginals[clique.scope[0]][0], 1e-9);
    }
}

#[test]
fn files_come_back_and_wrong_ones_are_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("field.uai");
    std::fs::write(&path, cliques().to_uai()).unwrap();
    assert!(MarkovField::is_in(&path));
    let back = MarkovField::read(&path).unwrap();
    close(back.infer(1.0, &[]).unwrap().log_partition, 5.2846367117, 1e-9);
    for (text, line, expected) in [
        ("MARKOV\n2\n2 2\n1\n2 0 1\n4\n1 2 3", "line 7", "a potential"),
        ("MARKOV\n2\n2 2\n1\n2 0 1\n4\n1 2 0 3\n", "line 7", "above 0"),
        ("MARKOV\n2\n2 2\n1\n2 0 1\n4\n1 -2 1 3\n", "line 7", "above 0"),
        ("MARKOV\n2\n2 2\n1\n2 0 2\n4\n1 2 1 3\n", "line 5", "from 0 to 1"),
        ("MARKOV\n2\n2 2\n1\n2 0 1\n3\n1 2 1\n", "line 6", "4, as many"),
        ("MARKOV\n99999999999\n", "line 2", "how many variables"),
        ("MARKOV\n2\n2 0\n0\n", "line 3", "at least one state"),
        ("MARKOV\n1\n2\n0\n7\n", "line 5", "the end"),
        ("BAYES\n2\n2 2\n1\n1 0\n2\n0.5 0.5\n", "line 4", "2 tables"),
        ("BAYES\n2\n2 2\n2\n1 0\n2 1 0\n2\n0.5 0.5\n4\n1 1 1 1\n", "line 6", "no table yet"),
        ("BAYES\n2\n2 2\n2\n1 0\n2 0 1\n2\n0.5 0.5\n4\n0.9 0.1\n0.3 0.6\n", "line 11", "sum to 1"),
        // Variable 0 is caused by 2, which is caused by 1, and that by 2.
        ("BAYES\n3\n2 2 2\n3\n2 2 0\n2 2 1\n2 1 2\n", "line 7", "found variable 2"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = MarkovField::read(&path).unwrap_err().to_string();
        assert!(error.contains(line) && error.contains(expected), "{error}");
    }
    let field = cliques();
    let evidence = folder.path().join("field.evid");
    for text in ["2 1 1 2 0", "1\n2 1 1 2 0\n"] {
        std::fs::write(&evidence, text).unwrap();
        assert_eq!(field.read_evidence(&evidence).unwrap(), [(1, 1), (2, 0)]);
    }
    for (text, line, expected) in [
        ("2 1 1 2", "line 1", "a state of variable 2"),
        ("2\n1 1\n4 0\n", "line 3", "a variable, at most 3"),
        ("2\n1 1\n2 2\n", "line 3", "a state of variable 2, at most 1"),
        ("2\n1 1\n1 0\n", "line 3", "state 1 of variable 1, as before"),
    ] {
        std::fs::write(&evidence, text).unwrap();
        let error = field.read_evidence(&evidence).unwrap_err().to_string();
        assert!(error.contains(line) && error.contains(expected), "{error}");
    }
    assert!(field.infer(1.0, &[(1, 1), (1, 0)]).is_err());
    assert!(field.infer(1.0, &[(1, 2)]).is_err());
    assert!(field.infer(1.0, &[(4, 0)]).is_err());
    assert!(field.infer(0.0, &[]).is_err());
    // Too wide a field is refused before memory is taken for it.
    let wide: Graph = "sk:40".parse().unwrap();
    let error = MarkovField::of_graph(&wide).unwrap().infer(1.0, &[]).unwrap_err().to_string();
    assert!(error.contains("2^24"), "{error}");
}

/// What is there twice or mistyped is no machine that was meant.
#[test]
fn numbers_that_stand_twice_or_nowhere_are_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (text, line, expected) in [
        ("{\"linear\": {\"a\": -1,\n\"a\": 2}}", "line 2", "\\\"a\\\" twice"),
        ("{\"quadratic\": {\"a,b\": -1,\n\"a,b\": 2}}", "line 2", "\\\"a,b\\\" twice"),
        ("{\"quadratic\": {\"a,b\": -1,\n\"b,a\": 2}}", "line 2", "\"b\" and \"a\" again"),
        (
            "{\"linear\": {\"a\": 1},\n\"quadratic\": {\n\"a,a\": 2}, \"vartype\": \"SPIN\"}",
            "line 3",
            "\"a\" with itself",
        ),
        (
            "{\"quadratic\": {\n\"x,1,x,2\": 3}}",
            "line 2, quadratic \"x,1,x,2\"",
            "two variables without commas",
        ),
        ("{\"linear\": {\" b\": 1}}", "variables", "without spaces"),
        ("J 0 1 A B 2\nh 0 A 1\nh 0 B 0\nh 1 A 0\n", "line 1", "no h 1 B"),
        ("h 0 A 1\nh 0 B 0\nh 0 X! 0\nh 1 A 0\nh 1 B 0\n", "line 3", "no h 1 X!"),
        ("h 0 A 1\nh 0 B 0\nh 0 A 1\n", "line 3", "h 0 A again"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Graph::read(&path).unwrap_err().to_string();
        assert!(error.contains(line) && error.contains(expected), "{error}");
    }
    // Fields come last: a file of couplings alone was cut, and no field is zero in silence.
    std::fs::write(&path, "J 0 1 A B 2\n").unwrap();
    let error = Graph::read(&path).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("fields 'h i a value'"), "{error}");
    std::fs::write(&path, "{\"linear\": {\"b\": -1}, \"quadratic\": {\"a,b\": 2}}").unwrap();
    assert_eq!(Graph::read(&path).unwrap().names, ["a", "b"]);
}

/// Files that were damaged: an error or a machine, never a panic, and no memory beyond what their length allows.
#[test]
fn damaged_files_are_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let whole = [
        cliques().to_uai(),
        "4 4\n1 2 1\n2 3 -1\n3 4 1\n4 1 0.5\n".into(),
        "%%MatrixMarket matrix coordinate real symmetric\n3 3 2\n2 1 3\n3 1 -2\n".into(),
        "{\"linear\": {\"a\": -1, \"b\": 2}, \"quadratic\": {\"a,b\": 3}, \"vartype\": \"SPIN\"}"
            .into(),
        "J 0 1 A A 2\nJ 0 1 A B 0.5\nh 0 A 1\nh 0 B 0\nh 1 A 0\nh 1 B 0.25\n".into(),
    ];
    let mut k = 0;
    let mut below = |end: usize| {
        k += 1;
        let z = (k as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((z ^ (z >> 27)) % end as u64) as usize
    };
    let (mut read, mut refused) = (0, 0);
    for text in &whole {
        for _ in 0..2000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..1 + below(3) {
                let at = below(bytes.len());
                match below(4) {
                    0 => bytes[at] = b"0123456789 -.eEJh{\n\"\xff"[below(21)],
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.insert(at, b"9"[0]),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    bytes.push(b' ');
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let outcome = match MarkovField::is_in(&path) {
                true => MarkovField::read(&path).map(|field| drop(field.infer(1.0, &[]))),
                false => Graph::read(&path).map(|graph| {
                    assert!(graph.units.width() <= 1 << 16);
                    if graph.units.width() < 100 {
                        drop(MarkovField::of_graph(&graph).and_then(|field| field.mode(&[])));
                    }
                }),
            };
            match outcome {
                Ok(()) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > 500 && refused > 2000, "{read} read, {refused} refused");
}

/// Word `k` of a seed: SplitMix64.
fn word(seed: u64, k: u64) -> u64 {
    let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// Numbers that are to be cut into two halves, as spins: E = (Σ ±a)² − Σ a².
fn cuts(numbers: &[i64]) -> MarkovField {
    let size = numbers.len() as u32;
    let edges: Vec<_> = (0..size).flat_map(|i| (i + 1..size).map(move |j| [i, j])).collect();
    let product = |[i, j]: [u32; 2]| (numbers[i as usize] * numbers[j as usize]) as f64;
    let graph = Graph {
        units: rbm_core::Units::Spin { size: numbers.len() },
        couplings: edges.iter().map(|edge| -2.0 * product(*edge)).collect(),
        edges,
        fields: vec![0.0; numbers.len()],
        shape: None,
        names: Vec::new(),
        offset: 0.0,
    };
    MarkovField::of_graph(&graph).unwrap()
}

/// `count` numbers from 1 to `most`.
fn numbers_to_cut(seed: u64, count: u64, most: u64) -> Vec<i64> {
    (0..count).map(|k| (word(seed, k) % most + 1) as i64).collect()
}

/// Many cuts come close, and few are the best.
#[test]
fn the_best_cuts_of_large_numbers_are_counted_exactly() {
    for (seed, most) in [(31, 1000), (32, 1_000_000)] {
        let numbers = numbers_to_cut(seed, 20, most);
        let energies: Vec<i64> = (0..1u32 << 20)
            .map(|cut| {
                let signed = |(i, a): (usize, &i64)| if cut >> i & 1 == 1 { *a } else { -*a };
                numbers.iter().enumerate().map(signed).sum::<i64>().pow(2)
            })
            .collect();
        let lowest = *energies.iter().min().unwrap();
        let best = energies.iter().filter(|energy| **energy == lowest).count();
        let squares: i64 = numbers.iter().map(|a| a * a).sum();
        let mode = cuts(&numbers).mode(&[]).unwrap();
        assert_eq!((-mode.log_potential, mode.count), ((lowest - squares) as f64, best as f64));
        if seed == 31 {
            assert_eq!((numbers.iter().sum::<i64>(), lowest), (12_015, 1));
        } else {
            let is_near = |energy: &&i64| **energy - lowest <= squares / 1_000_000_000;
            assert!(energies.iter().filter(is_near).count() > best, "a tie to nine digits passes");
        }
    }
}

/// Of 24 numbers up to a million 14 of 2²⁴ cuts leave a difference of 1, by going through all of them; half of these with the first number on one
/// side.
#[test]
fn the_best_cuts_of_twenty_four_numbers_are_known() {
    let numbers = numbers_to_cut(32, 24, 1_000_000);
    let mode = cuts(&numbers).mode(&[(0, 1)]).unwrap();
    let squares: i64 = numbers.iter().map(|a| a * a).sum();
    assert_eq!((mode.log_potential, mode.count), ((squares - 1) as f64, 7.0));
}
