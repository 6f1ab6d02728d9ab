//! Parameters of a model as named tensors in the format of safetensors, and back (R103). Doubles, little-endian, bit by
//! bit what was settled.
//!
//! | kind | tensors |
//! |---|---|
//! | logistic | `weight` (features), `bias` (1) |
//! | perceptron | `hidden.weight` (hidden, features), `hidden.bias` (hidden), `output.weight` (hidden), `output.bias` (1) |
//! | clusters | `centres` (clusters, features) |
//! | affinity | `items` (items, rank) |

use std::collections::{BTreeMap, BTreeSet};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use symphony_protocol::artifact::training::Shape;

use super::ModelError;

/// Bytes of a parameter.
const WIDTH: usize = 8;

/// A tensor: its name, its sizes, and where its parts stand among the parameters.
struct Part {
    name: &'static str,
    sizes: Vec<usize>,
    /// Where each run of parameters begins, and its length.
    runs: Vec<(usize, usize)>,
}

impl Part {
    fn whole(name: &'static str, sizes: &[usize], begin: usize) -> Self {
        Self { name, sizes: sizes.to_vec(), runs: vec![(begin, sizes.iter().product())] }
    }

    fn bytes(&self) -> usize {
        self.sizes.iter().product::<usize>() * WIDTH
    }
}

fn parts(shape: Shape) -> Vec<Part> {
    let size = |number: u32| number as usize;
    match shape {
        Shape::Logistic { features } => {
            vec![Part::whole("weight", &[size(features)], 0), Part::whole("bias", &[1], size(features))]
        }
        Shape::Perceptron { features, hidden } => {
            let (features, hidden) = (size(features), size(hidden));
            let unit = features + 1;
            let runs = |offset, length| (0..hidden).map(|at| (at * unit + offset, length)).collect();
            let last = hidden * unit;
            vec![
                Part { name: "hidden.weight", sizes: vec![hidden, features], runs: runs(0, features) },
                Part { name: "hidden.bias", sizes: vec![hidden], runs: runs(features, 1) },
                Part::whole("output.weight", &[hidden], last),
                Part::whole("output.bias", &[1], last + hidden),
            ]
        }
        Shape::Clusters { features, clusters } => {
            vec![Part::whole("centres", &[size(clusters), size(features)], 0)]
        }
        Shape::Affinity { items, rank } => vec![Part::whole("items", &[size(items), size(rank)], 0)],
    }
}

/// The file of these parameters, little-endian doubles in the order that the shape tells. **Errors**: they do not fit
/// the shape.
pub(super) fn write(shape: Shape, parameters: &[u8]) -> Result<Vec<u8>, ModelError> {
    if parameters.len() != shape.parameters() * WIDTH {
        return Err(ModelError::Changed("shape"));
    }
    let mut content = BTreeMap::new();
    for part in parts(shape) {
        let runs = part.runs.iter();
        let bytes: Vec<u8> = runs
            .flat_map(|(begin, length)| &parameters[begin * WIDTH..(begin + length) * WIDTH])
            .copied()
            .collect();
        content.insert(part.name, (part.sizes, bytes));
    }
    let views = content
        .iter()
        .map(|(name, (sizes, bytes))| Ok((*name, TensorView::new(Dtype::F64, sizes.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    views.and_then(|views| serialize(views, None)).map_err(unreadable)
}

/// The parameters of a file, as [`write`] got them. **Errors**: it has other tensors than the shape tells.
pub(super) fn read(shape: Shape, file: &[u8]) -> Result<Vec<u8>, ModelError> {
    let tensors = SafeTensors::deserialize(file).map_err(unreadable)?;
    let parts = parts(shape);
    let names: BTreeSet<&str> = tensors.names().into_iter().collect();
    if names != parts.iter().map(|part| part.name).collect() {
        return Err(ModelError::Changed("shape"));
    }
    let mut parameters = vec![0; shape.parameters() * WIDTH];
    for part in parts {
        let tensor = tensors.tensor(part.name).map_err(unreadable)?;
        if tensor.dtype() != Dtype::F64 || tensor.shape() != part.sizes || tensor.data().len() != part.bytes()
        {
            return Err(ModelError::Changed("shape"));
        }
        let mut rest = tensor.data();
        for (begin, length) in part.runs {
            let (run, after) = rest.split_at(length * WIDTH);
            parameters[begin * WIDTH..(begin + length) * WIDTH].copy_from_slice(run);
            rest = after;
        }
    }
    Ok(parameters)
}

fn unreadable(fault: safetensors::SafeTensorError) -> ModelError {
    ModelError::Tensors(fault.to_string())
}

#[cfg(test)]
mod tests {
    use symphony_protocol::artifact::training::{Evaluation, TrainedModel};
    use symphony_types::digest::Digest;
    use symphony_types::id::TaskId;

    use super::*;

    const SHAPES: [Shape; 4] = [
        Shape::Logistic { features: 3 },
        Shape::Perceptron { features: 3, hidden: 2 },
        Shape::Clusters { features: 2, clusters: 3 },
        Shape::Affinity { items: 4, rank: 2 },
    ];

    fn numbered(shape: Shape) -> Vec<u8> {
        (0..shape.parameters()).flat_map(|at| (at as f64 + 0.5).to_le_bytes()).collect()
    }

    fn doubles(bytes: &[u8]) -> Vec<f64> {
        bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    /// R103: what is written is read, bit by bit, and the same model is the same file.
    #[test]
    fn every_kind_comes_back() {
        for shape in SHAPES {
            let parameters = numbered(shape);
            let file = write(shape, &parameters).unwrap();
            assert_eq!(read(shape, &file).unwrap(), parameters);
            assert_eq!(write(shape, &parameters).unwrap(), file);
            for other in SHAPES.iter().filter(|other| **other != shape) {
                assert!(read(*other, &file).is_err(), "{other:?} out of {shape:?}");
            }
        }
        assert!(write(SHAPES[0], &numbered(SHAPES[1])).is_err());
        assert!(read(SHAPES[0], b"no tensors").is_err());
    }

    /// R103: `vectors/model_file.json`, whose files and digests other code wrote: the form does not change by accident.
    #[test]
    fn files_and_digests_are_those_of_the_vector() {
        #[derive(serde::Deserialize)]
        struct Vector {
            models: Vec<Entry>,
        }
        #[derive(serde::Deserialize)]
        struct Entry {
            kind: String,
            sizes: Vec<u32>,
            parameters: Vec<f64>,
            digest: String,
            file: String,
        }
        let text =
            std::fs::read_to_string(std::path::Path::new("../../vectors").join("model_file.json")).unwrap();
        let Vector { models } = serde_json::from_str(&text).unwrap();
        assert_eq!(models.len(), 4);
        for Entry { kind, sizes, parameters, digest, file } in models {
            let shape = match (kind.as_str(), &sizes[..]) {
                ("logistic", [features]) => Shape::Logistic { features: *features },
                ("perceptron", [features, hidden]) => {
                    Shape::Perceptron { features: *features, hidden: *hidden }
                }
                ("clusters", [features, clusters]) => {
                    Shape::Clusters { features: *features, clusters: *clusters }
                }
                ("affinity", [items, rank]) => Shape::Affinity { items: *items, rank: *rank },
                other => panic!("{other:?}"),
            };
            let parameters: Vec<u8> = parameters.iter().flat_map(|number| number.to_le_bytes()).collect();
            assert_eq!(hex::encode(write(shape, &parameters).unwrap()), file, "{kind}");
            assert_eq!(read(shape, &hex::decode(file).unwrap()).unwrap(), parameters, "{kind}");
            let evaluation = Evaluation { quality: 0, log_loss: None, calibration_error: None };
            let task = TaskId(Digest::ZERO);
            let trained = TrainedModel { task, steps: 0, shape, parameters, evaluation };
            assert_eq!(trained.digest().to_string(), digest, "{kind}");
        }
    }

    /// R103: other tools find the weights of a perceptron by unit, though the platform keeps each unit's bias beside them.
    #[test]
    fn a_perceptrons_units_are_rows() {
        let file = write(SHAPES[1], &numbered(SHAPES[1])).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let of = |name: &str| doubles(tensors.tensor(name).unwrap().data());
        assert_eq!(of("hidden.weight"), [0.5, 1.5, 2.5, 4.5, 5.5, 6.5]);
        assert_eq!(of("hidden.bias"), [3.5, 7.5]);
        assert_eq!(of("output.weight"), [8.5, 9.5]);
        assert_eq!(of("output.bias"), [10.5]);
    }

    /// R103: sizes are checked against the plan, not taken from the file.
    #[test]
    fn other_sizes_and_types_are_refused() {
        let wrong = |dtype, sizes: Vec<usize>, bytes: usize| {
            let bytes = vec![0; bytes];
            let bias = [0; 8];
            let views = [
                ("bias", TensorView::new(Dtype::F64, vec![1], &bias).unwrap()),
                ("weight", TensorView::new(dtype, sizes, &bytes).unwrap()),
            ];
            read(SHAPES[0], &serialize(views, None).unwrap())
        };
        assert!(wrong(Dtype::F64, vec![3], 24).is_ok());
        for refused in [
            wrong(Dtype::F64, vec![4], 32),
            wrong(Dtype::F64, vec![1, 3], 24),
            wrong(Dtype::F32, vec![3], 12),
            wrong(Dtype::I64, vec![3], 24),
        ] {
            assert!(matches!(refused, Err(ModelError::Changed("shape"))));
        }
    }
}
