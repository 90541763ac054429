//! An area hands strokes on as they are, moved to where it lies on its surface.

use plotters::prelude::SVGBackend;
use plotters::style::RGBColor;

use super::*;

const INK: RGBColor = RGBColor(1, 2, 3);

fn drawn(draw: impl FnOnce(&Area) -> Drawn) -> String {
    let mut text = String::new();
    {
        let area = Area::of(SVGBackend::with_string(&mut text, (80, 60)));
        draw(&area).and_then(|()| area.finish()).expect("memory takes it");
    }
    text
}

#[test]
fn the_lower_part_draws_below_the_row_and_no_higher() {
    let stroke = |area: &Area| area.path(vec![(1, 2), (30, 4)], &ShapeStyle::from(INK).stroke_width(2));
    let svg = drawn(|area| {
        let (above, below) = area.split_at_row(40);
        assert_eq!((above.size(), below.size()), ((80, 40), (80, 20)));
        stroke(&above)?;
        below.fill(INK)?;
        stroke(&below)?;
        below.polygon(vec![(0, 0), (5, 0), (5, 5)], &ShapeStyle::from(INK).filled())?;
        below.circle((7, 8), 3, &ShapeStyle::from(INK).filled())
    });
    assert!(svg.contains("1,2 30,4") && svg.contains("1,42 30,44"), "{svg}");
    assert!(svg.contains("x=\"0\" y=\"40\" width=\"80\" height=\"20\""), "{svg}");
    assert!(svg.contains("0,40 5,40 5,45") && svg.contains("cx=\"7\" cy=\"48\" r=\"3\""), "{svg}");
}

#[test]
fn a_split_beyond_the_end_leaves_nothing_below() {
    drawn(|area| {
        let (above, below) = area.split_at_row(600);
        assert_eq!((above.size(), below.size()), ((80, 60), (80, 0)));
        Ok(())
    });
}
