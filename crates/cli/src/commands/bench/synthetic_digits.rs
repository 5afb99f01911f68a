//! Pictures to measure with where there are no data: strokes of a soft pen, about as many pixels on as in MNIST.
//!
//! How fast a machine learns depends on how many of its units are on, and on which pixels are on together. So these are
//! ten shapes, each two curves, that are bent and shifted anew in every case.

use candle_core::{DType, Device, Tensor};
use rbm_core::{Result, Rng, ops};

/// Different shapes.
const SHAPES: usize = 10;
/// Quadratic curves of a shape.
const CURVES: usize = 2;
/// Coordinates of a shape: three points a curve.
const COORDINATES: usize = CURVES * 3 * 2;
/// Touches of the pen along a curve.
const TOUCHES: usize = 28;
/// Radius of the pen, in heights of the picture.
const RADIUS: f32 = 0.07;
/// Width of the stroke's grey edge, in heights of the picture.
const EDGE: f32 = 0.06;
/// How far a point of a shape may move, in heights of the picture.
const JITTER: f32 = 0.06;

/// `count` grey-level pictures `(count, width)` with values in [0, 1], `f32` on the CPU. A picture is as square as `width`
/// allows, cut after its last whole pixel. The same generator gives the same pictures.
pub fn grey(count: usize, width: usize, rng: &mut Rng) -> Result<Tensor> {
    let rows = ((width as f64).sqrt() as usize).max(1);
    let columns = width.div_ceil(rows);
    let mut draw = |shape: (usize, usize)| -> Result<Vec<Vec<f32>>> {
        Ok(ops::uniform(shape, DType::F32, &Device::Cpu, rng)?.to_vec2()?)
    };
    let shapes = draw((SHAPES, COORDINATES))?;
    // Of each case: which shape, the shift, and the move of every coordinate.
    let choices = draw((count, 3 + COORDINATES))?;
    let mut pixels = vec![0f32; count * width];
    for (picture, choice) in pixels.chunks_mut(width.max(1)).zip(&choices) {
        let shape = &shapes[((choice[0] * SHAPES as f32) as usize).min(SHAPES - 1)];
        let points: Vec<[f32; 2]> = (0..COORDINATES / 2)
            .map(|point| {
                [0, 1].map(|axis| {
                    let at = 2 * point + axis;
                    let place = 0.22 + 0.56 * shape[at];
                    place + JITTER * (2.0 * choice[3 + at] - 1.0 + choice[1 + axis] - 0.5)
                })
            })
            .collect();
        for curve in points.chunks(3) {
            for touch in 0..TOUCHES {
                let t = touch as f32 / (TOUCHES - 1) as f32;
                let [y, x] = [0, 1].map(|axis| {
                    let (a, b, c) = (curve[0][axis], curve[1][axis], curve[2][axis]);
                    (1.0 - t) * ((1.0 - t) * a + t * b) + t * ((1.0 - t) * b + t * c)
                });
                press(picture, (rows, columns), [y * rows as f32, x * columns as f32]);
            }
        }
    }
    Ok(Tensor::from_vec(pixels, (count, width), &Device::Cpu)?)
}

/// One where `cases` are above a half, else zero.
pub fn binary(cases: &Tensor) -> Result<Tensor> {
    Ok(cases.gt(0.5)?.to_dtype(DType::F32)?)
}

/// The pen's mark around `centre` (row, column; in pixels), darkest in its middle.
fn press(picture: &mut [f32], (rows, columns): (usize, usize), centre: [f32; 2]) {
    // Thinner pens would miss the pixels of a small picture.
    let radius = (RADIUS * rows as f32).max(0.9);
    let edge = (EDGE * rows as f32).max(0.9);
    let span = |middle: f32, end: usize| {
        let reach = radius + edge;
        let from = (middle - reach).max(0.0) as usize;
        from..((middle + reach).max(0.0) as usize + 1).min(end)
    };
    for row in span(centre[0], rows) {
        for column in span(centre[1], columns) {
            let Some(pixel) = picture.get_mut(row * columns + column) else { continue };
            let distance = (row as f32 + 0.5 - centre[0]).hypot(column as f32 + 0.5 - centre[1]);
            *pixel = pixel.max((0.5 + (radius - distance) / edge).clamp(0.0, 1.0));
        }
    }
}
