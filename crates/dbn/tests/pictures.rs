//! Pictures, read back pixel by pixel.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_dbn::viz::images::{Contrast, shape_of, write_grid, write_pairs};

type Outcome = Result<(), Box<dyn Error>>;
type Colour = [u8; 3];

const BLACK: Colour = [0; 3];
const WHITE: Colour = [255; 3];
const MIDDLE: Colour = [247; 3];
const BLUE: Colour = [5, 48, 97];
const RED: Colour = [103, 0, 31];
const MAGENTA: Colour = [255, 0, 255];
const GAP: usize = 3;
/// A pixel of a tile of 2 × 2, the tile, and how far the next one is.
const ZOOM: usize = 40;
const TILE: usize = 2 * ZOOM;
const NEXT: usize = TILE + GAP;
const PAIR_GAP: usize = 6;

struct Picture {
    height: usize,
    width: usize,
    bytes: Vec<u8>,
}

impl Picture {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().ok_or("too large")?];
        let info = reader.next_frame(&mut bytes)?;
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        Ok(Self { height: info.height as usize, width: info.width as usize, bytes })
    }

    fn at(&self, y: usize, x: usize) -> Colour {
        let start = 3 * (y * self.width + x);
        [self.bytes[start], self.bytes[start + 1], self.bytes[start + 2]]
    }

    /// The colours of a tile of 2 × 2 pixels, each enlarged fortyfold, whose corner is at (top, left).
    fn tile(&self, top: usize, left: usize) -> [Colour; 4] {
        let colours =
            [(0, 0), (0, ZOOM), (ZOOM, 0), (ZOOM, ZOOM)].map(|(y, x)| self.at(top + y, left + x));
        for (from, (y, x)) in colours.iter().zip([(0, 0), (0, ZOOM), (ZOOM, 0), (ZOOM, ZOOM)]) {
            assert_eq!(
                *from,
                self.at(top + y + ZOOM - 1, left + x + ZOOM - 1),
                "an enlarged pixel is of one colour"
            );
        }
        colours
    }
}

fn tiles(values: &[[f32; 4]]) -> candle_core::Result<Tensor> {
    Tensor::from_slice(values.as_flattened(), (values.len(), 4), &Device::Cpu)
}

fn drawn(
    values: &[[f32; 4]],
    columns: usize,
    contrast: Contrast,
) -> Result<Picture, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("grid.png");
    write_grid(&path, &tiles(values)?, &[], (2, 2), columns, contrast)?;
    Picture::read(&path)
}

#[test]
fn the_shape_of_a_case_is_its_image_or_the_most_square_rectangle() {
    assert_eq!(shape_of(784, None), (28, 28));
    assert_eq!(shape_of(784, Some((14, 56))), (14, 56));
    assert_eq!(shape_of(500, None), (20, 25));
    assert_eq!(
        shape_of(500, Some((28, 28))),
        (20, 25),
        "an image of another size does not describe the case"
    );
    assert_eq!(shape_of(509, None), (1, 509));
    assert_eq!(shape_of(1, None), (1, 1));
    assert_eq!(shape_of(0, None), (1, 0));
    assert_eq!(shape_of(4, Some((usize::MAX, 2))), (2, 2));
}

#[test]
fn tiles_stand_in_rows_from_the_top_left_with_gaps_around() -> Outcome {
    let values = [[0.0, 0.2, 0.4, 1.0], [1.0; 4], [0.6; 4]];
    let picture = drawn(&values, 2, Contrast::Unit)?;
    assert_eq!((picture.height, picture.width), (2 * TILE + 3 * GAP, 2 * TILE + 3 * GAP));
    assert_eq!(picture.tile(GAP, GAP), [BLACK, [51; 3], [102; 3], WHITE]);
    assert_eq!(picture.tile(GAP, TILE + 2 * GAP), [WHITE; 4]);
    assert_eq!(picture.tile(TILE + 2 * GAP, GAP), [[153; 3]; 4]);
    let background = picture.at(0, 0);
    assert_eq!(
        picture.tile(TILE + 2 * GAP, TILE + 2 * GAP),
        [background; 4],
        "there is no fourth tile"
    );
    assert_eq!(picture.at(GAP + TILE, GAP + 5), background);
    assert_eq!(picture.at(GAP + 5, GAP + TILE + GAP - 1), background);
    assert_eq!(picture.at(picture.height - 1, picture.width - 1), background);
    Ok(())
}

#[test]
fn fewer_tiles_than_columns_make_a_narrow_picture() -> Outcome {
    let picture = drawn(&[[0.0; 4], [1.0; 4]], 10, Contrast::Unit)?;
    assert_eq!((picture.height, picture.width), (TILE + 2 * GAP, 2 * TILE + 3 * GAP));
    Ok(())
}

#[test]
fn tiles_that_are_not_square_keep_their_orientation() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("wide.png");
    let tile = Tensor::new(&[[0f32, 0.0, 0.0, 1.0, 1.0, 1.0]], &Device::Cpu)?;
    write_grid(&path, &tile, &[], (2, 3), 1, Contrast::Unit)?;
    let picture = Picture::read(&path)?;
    assert_eq!((picture.height, picture.width), (2 * 27 + 2 * GAP, 3 * 27 + 2 * GAP));
    assert_eq!(picture.at(GAP + 26, GAP + 80), BLACK);
    assert_eq!(picture.at(GAP + 27, GAP), WHITE);
    Ok(())
}

#[test]
fn unit_contrast_clamps_what_lies_outside() -> Outcome {
    let picture = drawn(&[[-3.0, -0.0, 1.5, 1e30]], 1, Contrast::Unit)?;
    assert_eq!(picture.tile(GAP, GAP), [BLACK, BLACK, WHITE, WHITE]);
    Ok(())
}

#[test]
fn symmetric_contrast_scales_each_tile_by_itself_with_zero_in_the_middle() -> Outcome {
    let values = [[-2.0, 0.0, 1.0, 2.0], [-0.001, 0.0, 0.0, 0.0005], [0.0; 4]];
    let picture = drawn(&values, 3, Contrast::Symmetric)?;
    assert_eq!(picture.tile(GAP, GAP), [BLUE, MIDDLE, [214, 96, 77], RED]);
    assert_eq!(picture.tile(GAP, NEXT + GAP), [BLUE, MIDDLE, MIDDLE, [214, 96, 77]]);
    assert_eq!(
        picture.tile(GAP, 2 * NEXT + GAP),
        [MIDDLE; 4],
        "a filter of zeros divides by nothing"
    );
    Ok(())
}

#[test]
fn range_contrast_is_one_range_for_all_tiles() -> Outcome {
    let picture = drawn(&[[-1.0, 0.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0]], 2, Contrast::Range)?;
    assert_eq!(picture.tile(GAP, GAP), [BLACK, [51; 3], [51; 3], [51; 3]]);
    assert_eq!(picture.tile(GAP, NEXT + GAP), [WHITE, [51; 3], [51; 3], [51; 3]]);
    let constant = drawn(&[[7.0; 4]], 1, Contrast::Range)?;
    assert_eq!(constant.tile(GAP, GAP), [[128; 3]; 4]);
    let extreme = drawn(&[[f32::MIN, 0.0, 0.0, f32::MAX]], 1, Contrast::Range)?;
    assert_eq!(extreme.tile(GAP, GAP), [BLACK, [128; 3], [128; 3], WHITE]);
    Ok(())
}

#[test]
fn values_that_are_not_finite_stand_out_and_leave_the_range_alone() -> Outcome {
    for contrast in [Contrast::Unit, Contrast::Symmetric, Contrast::Range] {
        let picture = drawn(&[[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0]; 2], 2, contrast)?;
        let [nan, infinite, negative, finite] = picture.tile(GAP, GAP);
        assert_eq!([nan, infinite, negative], [MAGENTA; 3]);
        assert_ne!(finite, MAGENTA);
    }
    let scaled = drawn(&[[f32::INFINITY, -1.0, 0.0, 1.0]], 1, Contrast::Symmetric)?;
    assert_eq!(scaled.tile(GAP, GAP), [MAGENTA, BLUE, MIDDLE, RED]);
    assert_eq!(drawn(&[[f32::NAN; 4]], 1, Contrast::Range)?.tile(GAP, GAP), [MAGENTA; 4]);
    Ok(())
}

#[test]
fn double_precision_and_views_are_drawn_as_well() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("double.png");
    let columns =
        tiles(&[[0.0, 1.0, 0.0, 1.0], [1.0; 4], [0.0; 4], [1.0; 4]])?.to_dtype(DType::F64)?.t()?;
    write_grid(&path, &columns, &[], (2, 2), 4, Contrast::Unit)?;
    let picture = Picture::read(&path)?;
    assert_eq!(picture.tile(GAP, GAP), [BLACK, WHITE, BLACK, WHITE]);
    Ok(())
}

#[test]
fn originals_stand_above_their_reconstructions_pair_of_rows_after_pair() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pairs.png");
    let originals = tiles(&[[0.0; 4], [0.2; 4], [0.4; 4]])?;
    let reconstructions = tiles(&[[1.0; 4], [0.8; 4], [0.6; 4]])?;
    write_pairs(&path, &originals, &reconstructions, (2, 2), 2, "")?;
    let picture = Picture::read(&path)?;
    assert_eq!(
        (picture.height, picture.width),
        (4 * TILE + 5 * GAP + PAIR_GAP, 2 * TILE + 3 * GAP)
    );
    let second_pair = GAP + 2 * NEXT + PAIR_GAP;
    assert_eq!(picture.tile(GAP, GAP), [BLACK; 4]);
    assert_eq!(picture.tile(GAP, NEXT + GAP), [[51; 3]; 4]);
    assert_eq!(picture.tile(NEXT + GAP, GAP), [WHITE; 4]);
    assert_eq!(picture.tile(NEXT + GAP, NEXT + GAP), [[204; 3]; 4]);
    assert_eq!(picture.tile(second_pair, GAP), [[102; 3]; 4]);
    assert_eq!(picture.tile(second_pair + NEXT, GAP), [[153; 3]; 4]);
    assert_eq!(picture.at(second_pair - 1, GAP), picture.at(0, 0));
    // A caption has a line of its own, below everything.
    write_pairs(&path, &originals, &reconstructions, (2, 2), 2, "above, below")?;
    let captioned = Picture::read(&path)?;
    assert!(captioned.height > picture.height && captioned.width == picture.width);
    assert_eq!(captioned.tile(GAP, GAP), [BLACK; 4]);
    Ok(())
}

#[test]
fn pairs_outside_the_unit_interval_share_one_range() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pairs.png");
    write_pairs(&path, &tiles(&[[-2.0; 4]])?, &tiles(&[[3.0; 4]])?, (2, 2), 1, "")?;
    let picture = Picture::read(&path)?;
    assert_eq!((picture.at(GAP, GAP), picture.at(NEXT + GAP, GAP)), (BLACK, WHITE));
    Ok(())
}

#[test]
fn what_cannot_be_drawn_is_refused_in_words() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("never.png");
    let some = tiles(&[[0.0; 4]])?;
    let grid = |tiles: &Tensor, image, columns| match write_grid(
        &path,
        tiles,
        &[],
        image,
        columns,
        Contrast::Unit,
    ) {
        Ok(()) => "drawn".to_owned(),
        Err(error) => error.to_string(),
    };
    let none = Tensor::zeros((0, 4), DType::F32, &Device::Cpu)?;
    assert_eq!(
        grid(&none, (2, 2), 1),
        "tiles: expected shape (n, 2 · 2), n at least 1, found [0, 4]"
    );
    assert_eq!(
        grid(&some, (2, 3), 1),
        "tiles: expected shape (n, 2 · 3), n at least 1, found [1, 4]"
    );
    assert_eq!(
        grid(&some.get(0)?, (2, 2), 1),
        "tiles: expected shape (n, 2 · 2), n at least 1, found [4]"
    );
    assert_eq!(grid(&some, (2, 2), 0), "columns: expected at least 1, found 0");
    let many = Tensor::zeros((1, 1), DType::F32, &Device::Cpu)?.broadcast_as((200_000, 1))?;
    let found = "found 200000 tiles of 1 × 1";
    assert_eq!(
        grid(&many, (1, 1), 100),
        format!("picture: expected at most 268435456 pixels, {found}")
    );
    let two = tiles(&[[0.0; 4]; 2])?;
    let one = ["one".to_owned()];
    let error = write_grid(&path, &two, &one, (2, 2), 1, Contrast::Unit).err().ok_or("accepted")?;
    assert_eq!(error.to_string(), "captions: expected none, or one for each of 2 tiles, found 1");
    let error = write_pairs(&path, &some, &two, (2, 2), 1, "").err().ok_or("accepted")?;
    assert_eq!(error.to_string(), "reconstructions: expected 1, one for each original, found 2");
    assert_eq!(folder.path().read_dir()?.count(), 0, "nothing is left behind");
    Ok(())
}

#[test]
fn a_failed_write_names_the_file_and_leaves_nothing_beside_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    let taken = folder.path().join("taken.png");
    std::fs::create_dir(&taken)?;
    std::fs::write(taken.join("inside"), "")?;
    for path in [taken, folder.path().join("missing/grid.png")] {
        let error = write_grid(&path, &tiles(&[[0.0; 4]])?, &[], (2, 2), 1, Contrast::Unit)
            .err()
            .ok_or("written")?;
        assert!(matches!(error, rbm_core::Error::Io { .. }), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
    assert_eq!(folder.path().read_dir()?.count(), 1);
    Ok(())
}

#[test]
fn a_picture_replaces_the_one_before_and_can_be_read_by_others() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("grid.png");
    std::fs::write(&path, "an old picture")?;
    write_grid(&path, &tiles(&[[1.0; 4]])?, &[], (2, 2), 1, Contrast::Unit)?;
    assert_eq!(Picture::read(&path)?.at(GAP, GAP), WHITE);
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "")?;
    assert_eq!(path.metadata()?.permissions(), plain.metadata()?.permissions());
    Ok(())
}

/// Words stand below their own tile, in white, and touch no pixel of any; too long ones stay below it.
#[test]
fn captions_stand_below_their_tiles() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("grid.png");
    let black = tiles(&[[0.0; 4]; 3])?;
    let captions =
        ["7".to_owned(), String::new(), "a name that is longer than its tile".to_owned()];
    write_grid(&path, &black, &captions, (2, 2), 3, Contrast::Unit)?;
    let picture = Picture::read(&path)?;
    let line = 18;
    assert_eq!((picture.height, picture.width), (TILE + line + 2 * GAP, 3 * TILE + 4 * GAP));
    let is_written = |left: usize, right: usize| {
        let pixels =
            (GAP + TILE..GAP + TILE + line).flat_map(|y| (left..right).map(move |x| (y, x)));
        pixels.filter(|(y, x)| picture.at(*y, *x)[0] > 180).count()
    };
    let [first, second, third] = [0, 1, 2].map(|at| GAP + at * NEXT);
    for left in [first, second, third] {
        assert_eq!(picture.tile(GAP, left), [BLACK; 4]);
    }
    assert!(is_written(first, first + 12) > 0, "the digit");
    assert_eq!(is_written(first + 12, third - 1), 0);
    assert!(is_written(third, third + TILE) > 50);
    assert_eq!(is_written(third + TILE, picture.width), 0);
    Ok(())
}

/// The map of an alignment of 136 sites and 5 letters: catches tiles five pixels high.
#[test]
fn long_strips_are_high_enough_to_be_seen() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("strip.png");
    let tile = Tensor::zeros((1, 5 * 136), DType::F32, &Device::Cpu)?;
    // A path may be given in any form.
    write_grid(path.clone(), &tile, &[], (5, 136), 1, Contrast::Unit)?;
    let picture = Picture::read(&path)?;
    assert_eq!((picture.height, picture.width), (4 * 5 + 2 * GAP, 4 * 136 + 2 * GAP));
    Ok(())
}
