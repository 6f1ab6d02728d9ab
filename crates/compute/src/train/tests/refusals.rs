//! What a round refuses (R098, R099).

use super::aggregate::StreamingSum;
use super::grid::CLIP_UNITS;
use super::*;

fn refused<T>(result: Result<T, TrainError>) -> TrainError {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(error) => error,
    }
}

/// R098
#[test]
fn rows_that_are_not_whole_are_refused() {
    let scales = plain_scales(2);
    let new = |raw: &[f64], labels: Option<&[bool]>| refused(Features::new(&scales, raw, labels));
    assert_eq!(new(&[1.0], None), TrainError::Shape("rows and their features and labels"));
    assert_eq!(
        new(&[1.0, 2.0], Some(&[true, false])),
        TrainError::Shape("rows and their features and labels")
    );
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(new(&[1.0, value], None), TrainError::NotFinite("features"));
    }
    assert_eq!(refused(Features::new(&[], &[], None)), TrainError::Size("features"));
    for scale in [
        Scale { centre: f64::NAN, spread: 1.0, bound: 1.0 },
        Scale { centre: 0.0, spread: 0.0, bound: 1.0 },
        Scale { centre: 0.0, spread: 1.0, bound: f64::INFINITY },
    ] {
        assert_eq!(refused(Features::new(&[scale], &[1.0], None)), TrainError::NotFinite("scales"));
    }
    let listed = |item, value| Listed { item, value };
    let lists = |list: Vec<Listed>| refused(Baskets::new(3, &[list]));
    let misfit = TrainError::Shape("items of a list and all items");
    assert_eq!(lists(vec![listed(3, 1.0)]), misfit);
    assert_eq!(lists(vec![listed(1, 1.0), listed(1, 1.0)]), misfit);
    assert_eq!(lists(vec![listed(2, 1.0), listed(1, 1.0)]), misfit);
    assert_eq!(lists(vec![listed(0, f32::NAN)]), TrainError::NotFinite("values of items"));
    assert_eq!(refused(Baskets::new(0, &[])), TrainError::Size("items"));
}

/// R098: features are cut at the bound of their scale, not at what the data holds.
#[test]
fn features_are_cut_at_governed_bounds() {
    let scale = Scale { centre: 10.0, spread: 2.0, bound: 3.0 };
    let features = Features::new(&[scale], &[10.0, 13.0, 1e300, -1e300], None).unwrap();
    let rows: Vec<f32> = (0..4).map(|row| features.row(row)[0]).collect();
    assert_eq!(rows, [0.0, 1.5, 3.0, -3.0]);
}

/// R098
#[test]
fn sizes_and_settings_out_of_their_limits_are_refused() {
    let sizes = [
        (Shape::Logistic { features: 0 }, "features"),
        (Shape::Logistic { features: 5_000 }, "features"),
        (Shape::Perceptron { features: 4, hidden: 2_000 }, "hidden units"),
        (Shape::Clusters { features: 4, clusters: 0 }, "clusters"),
        (Shape::Affinity { items: 200_000, rank: 4 }, "items"),
        (Shape::Affinity { items: 100, rank: 65 }, "factors"),
        (Shape::Affinity { items: 100_000, rank: 64 }, "parameters"),
    ];
    for (shape, name) in sizes {
        assert_eq!(refused(Model::initial(shape, &seed(0))), TrainError::Size(name));
    }
    let plain = Settings::PLAIN;
    let settings = [
        (Settings { clip: 0, ..plain }, "clipping norm"),
        (Settings { clip: u32::MAX, ..plain }, "clipping norm"),
        (Settings { learning_rate: 0, ..plain }, "learning rate"),
        (Settings { momentum: 1_000, ..plain }, "momentum"),
        (Settings { penalty: u32::MAX, ..plain }, "penalty"),
        (Settings { ridge: 0, ..plain }, "ridge"),
        (Settings { unlisted: 1_001, ..plain }, "weight of unlisted items"),
    ];
    let (shape, _, datasets) = four(10).swap_remove(0);
    let model = Model::initial(shape, &seed(0)).unwrap();
    for (settings, name) in settings {
        assert_eq!(refused(update(&model, &settings, &datasets[0], &everybody())), TrainError::Setting(name));
    }
    for rate in [0, ALL + 1] {
        let sampling = Sampling { rate, seed: seed(0) };
        let error = refused(update(&model, &plain, &datasets[0], &sampling));
        assert_eq!(error, TrainError::Setting("sampling rate"));
    }
    for noise in [0, 99, 1_000_001] {
        assert_eq!(
            refused(noise::add(&mut [0], noise, 1, &seed(0))),
            TrainError::Setting("noise multiplier")
        );
    }
}

/// R098: a dataset of another kind, another width or without labels.
#[test]
fn datasets_that_do_not_fit_the_model_are_refused() {
    let all = four(10);
    for (at, (shape, settings, _)) in all.iter().enumerate() {
        let model = Model::initial(*shape, &seed(0)).unwrap();
        let other = &all[if at == 3 { 0 } else { 3 }].2[0];
        assert_eq!(
            refused(update(&model, settings, other, &everybody())),
            TrainError::Shape("model and the dataset")
        );
    }
    let narrow = Dataset::Features(Features::new(&plain_scales(5), &[0.0; 10], None).unwrap());
    let unlabelled = Dataset::Features(Features::new(&plain_scales(6), &[0.0; 12], None).unwrap());
    let model = Model::initial(all[0].0, &seed(0)).unwrap();
    let error = refused(update(&model, &all[0].1, &narrow, &everybody()));
    assert_eq!(error, TrainError::Shape("model and the dataset"));
    let error = refused(update(&model, &all[0].1, &unlabelled, &everybody()));
    assert_eq!(error, TrainError::Shape("model with a label and rows without"));
}

/// R098: numbers that explode end the round, and the model stays as it was.
#[test]
fn what_explodes_is_refused() {
    let shape = Shape::Logistic { features: 2 };
    assert_eq!(refused(Model::new(shape, vec![f64::NAN; 3])), TrainError::NotFinite("parameters"));
    assert_eq!(refused(Model::new(shape, vec![1e10; 3])), TrainError::Exploding("parameters"));
    assert_eq!(refused(Model::new(shape, vec![0.0; 2])), TrainError::Shape("parameters and the shape"));
    let settings = Settings { learning_rate: 1_000_000_000, clip: 1_000_000, ..Settings::PLAIN };
    let mut learner = Learner::new(Model::initial(shape, &seed(0)).unwrap());
    let before = learner.clone();
    let sums = [1 << 60, 0, 0];
    let cohort = Cohort { subjects: 1, rate: ALL };
    assert_eq!(refused(learner.step(&settings, &sums, cohort)), TrainError::Exploding("parameters"));
    assert_eq!(refused(learner.step(&settings, &sums[..2], cohort)), TrainError::Shape("sums and the model"));
    let nobody = Cohort { subjects: 0, rate: ALL };
    assert_eq!(refused(learner.step(&settings, &sums, nobody)), TrainError::Setting("cohort"));
    assert_eq!(learner, before);
    assert_eq!(
        refused(Learner::resume(before.model().clone(), vec![0.0; 2])),
        TrainError::Shape("velocity and the model")
    );
    let mut contribution = grid::Contribution::default();
    contribution.block(0, [1e200, 1e200].into_iter());
    let clipper = grid::Clipper::new(1.0, 2);
    assert_eq!(refused(clipper.add(&contribution, &mut [0; 2])), TrainError::Exploding("contributions"));
    let mut sums = [i64::MAX, i64::MAX, i64::MIN, i64::MIN];
    assert_eq!(refused(noise::add(&mut sums, 1_000_000, 1 << 30, &seed(1))), TrainError::Exploding("sums"));
}

/// R099: an update of another length, or more than its people can contribute in all or in one coordinate.
#[test]
fn updates_beyond_shape_or_bound_are_refused_and_name_the_vault() {
    let liar = vault("vault-liar");
    let begun = |subjects| {
        let mut sum = StreamingSum::secure_sum(4);
        sum.begin(&liar, subjects).unwrap();
        sum
    };
    let bound = TrainError::UpdateBound(liar.clone());
    let shape = TrainError::UpdateShape(liar.clone());
    let turn = TrainError::UpdateTurn(liar.clone());
    let full = 2 * CLIP_UNITS;
    let mut honest = begun(2);
    honest.chunk(&liar, &[0, -full]).unwrap();
    honest.chunk(&liar, &[0, 0]).unwrap();
    honest.end(&liar).unwrap();
    assert_eq!(refused(honest.begin(&liar, 2)), turn);
    assert_eq!(refused(honest.chunk(&liar, &[0])), turn);
    assert_eq!(refused(honest.end(&liar)), turn);
    assert_eq!(honest.finish().unwrap().sums, [0, -full, 0, 0]);
    for values in [[full + 1, 0, 0, 0], [i64::MIN, 0, 0, 0], [full, 1, 0, 0], [full / 2 + 1; 4]] {
        let mut sum = begun(2);
        let parts = values.chunks(1).try_for_each(|chunk| sum.chunk(&liar, chunk));
        assert_eq!(refused(parts), bound, "{values:?}");
        assert_eq!(refused(sum.finish()), TrainError::Incomplete);
    }
    let mut long = begun(2);
    assert_eq!(refused(long.chunk(&liar, &[0; 5])), shape);
    assert_eq!(refused(long.finish()), TrainError::Incomplete);
    let mut short = begun(2);
    short.chunk(&liar, &[0; 3]).unwrap();
    assert_eq!(refused(short.end(&liar)), shape);
    assert_eq!(refused(short.finish()), TrainError::Incomplete);
    assert_eq!(refused(begun(2).finish()), TrainError::Incomplete);
    assert_eq!(refused(begun(2).begin(&vault("vault-b"), u32::MAX)), TrainError::Size("people of a Vault"));
    let mut many = StreamingSum::secure_sum(1);
    (0..64).for_each(|at| many.begin(&vault(&format!("vault-{at}")), 1).unwrap());
    assert_eq!(refused(many.begin(&liar, 1)), TrainError::Size("Vaults"));
}
