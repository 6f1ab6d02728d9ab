//! What a guest module sees, `sym-kernel/1`: the rows of one person as columns of whole numbers, and one answer.
//!
//! A guest is called for one person at a time and answers with words. Everything else (who the person is, which other
//! people there are, adding up, bounds, noise) stays outside (R094). The same code runs natively in tests.
#![no_std]

/// What stands in a column where a record has no value, or a text that is not in the task's list.
pub const ABSENT: i64 = -1;

/// Rows that a kernel takes at once: every column is padded to a multiple of it with [`ABSENT`].
pub const LANES: usize = 8;

/// The most a number in a column can be: larger ones are cut to it, so that sums over a person cannot overflow.
pub const NUMBER_MAX: i64 = (1 << 48) - 1;

/// The version that [`guest!`] exports as `abi_version`.
pub const ABI_VERSION: i32 = 1;

/// Rows of one person, column by column, and the task's parameters.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    parameters: &'a [i64],
    columns: &'a [i64],
    stride: usize,
}

impl<'a> Input<'a> {
    /// Parameters, then `columns` one behind the other, each of `rows` padded to a multiple of [`LANES`].
    #[inline(always)]
    pub const fn new(parameters: &'a [i64], columns: &'a [i64], rows: usize) -> Self {
        Self { parameters, columns, stride: padded(rows) }
    }

    /// A parameter of the task; [`ABSENT`] if there is none, which the host rules out.
    #[inline(always)]
    pub fn parameter(&self, index: usize) -> i64 {
        self.parameters.get(index).copied().unwrap_or(ABSENT)
    }

    /// A column in pieces of [`LANES`] rows; empty if there is none, which the host rules out.
    #[inline(always)]
    pub fn column(&self, index: usize) -> &'a [[i64; LANES]] {
        let from = index * self.stride;
        let column = self.columns.get(from..from + self.stride).unwrap_or_default();
        column.as_chunks().0
    }
}

/// So many rows, made a multiple of [`LANES`].
#[inline(always)]
pub const fn padded(rows: usize) -> usize {
    (rows + LANES - 1) & !(LANES - 1)
}

/// One word of an answer. Negative words end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub i64);

impl Word {
    /// There is nothing, or nothing more.
    pub const END: Self = Self(-1);

    /// An amount for one cell of an aggregate. The host cuts it to the cell's bound.
    #[inline(always)]
    pub const fn amount(cell: u32, value: i64) -> Self {
        let value = if value < 0 {
            0
        } else if value > NUMBER_MAX {
            NUMBER_MAX
        } else {
            value
        };
        Self(((cell as i64 & CELL) << CELL_SHIFT) | value)
    }

    /// One for each of the cells `base`, `base + 1` ... whose bit in `mask` is set, up to 48 of them.
    #[inline(always)]
    pub const fn marks(base: u32, mask: u64) -> Self {
        Self(MARKS | ((base as i64 & CELL) << CELL_SHIFT) | (mask as i64 & NUMBER_MAX))
    }

    /// A derived attribute of the person: a number that is not negative, or the position of a declared label.
    #[inline(always)]
    pub const fn attribute(value: i64) -> Self {
        Self(value)
    }
}

/// Exports a guest: how many parameters and columns it has, how many rows of one person, and its function
/// `fn(&Input, step) -> Word`. Natively it makes nothing.
#[macro_export]
macro_rules! guest {
    (parameters: $parameters:expr, columns: $columns:expr, rows: $rows:expr, person: $person:path) => {
        #[cfg(target_arch = "wasm32")]
        mod exports {
            use super::*;

            const BYTES: usize = ($parameters + $parameters % 2 + $columns * $crate::padded($rows)) * 8;

            #[repr(align(16))]
            struct Window(core::cell::UnsafeCell<[u8; BYTES]>);
            // SAFETY: a module has one thread, and only the host writes here.
            unsafe impl Sync for Window {}
            static WINDOW: Window = Window(core::cell::UnsafeCell::new([0; BYTES]));

            #[unsafe(no_mangle)]
            extern "C" fn abi_version() -> i32 {
                $crate::ABI_VERSION
            }

            #[unsafe(no_mangle)]
            extern "C" fn alloc(bytes: u32) -> u32 {
                if bytes as usize <= BYTES { WINDOW.0.get() as u32 } else { 0 }
            }

            #[unsafe(no_mangle)]
            extern "C" fn run(at: u32, rows: u32, step: u32) -> i64 {
                let head = $parameters + $parameters % 2;
                let words = head + $columns * $crate::padded(rows as usize);
                // SAFETY: the host wrote so many words at the address that `alloc` gave, and writes nothing meanwhile.
                let words = unsafe { core::slice::from_raw_parts(at as *const i64, words) };
                let (parameters, columns) = words.split_at(head);
                $person(&$crate::Input::new(parameters, columns, rows as usize), step).0
            }

            #[panic_handler]
            fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
                core::arch::wasm32::unreachable()
            }
        }
    };
}

const MARKS: i64 = 1 << 62;
const CELL: i64 = (1 << 14) - 1;
const CELL_SHIFT: u32 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_cell_and_value_apart() {
        assert_eq!(Word::amount(3, 5).0, (3 << 48) | 5);
        assert_eq!(Word::amount(0, -5).0, 0);
        assert_eq!(Word::amount(1, i64::MAX).0, (1 << 48) | NUMBER_MAX);
        assert_eq!(Word::marks(2, 0b101).0, (1 << 62) | (2 << 48) | 0b101);
        assert!(Word::marks(u32::MAX, u64::MAX).0 > 0, "no mark is an end");
    }

    #[test]
    fn columns_are_padded_and_missing_ones_are_empty() {
        let mut columns = [ABSENT; 32];
        columns[16] = 7;
        let input = Input::new(&[4], &columns, 9);
        assert_eq!(input.column(0), [[ABSENT; 8]; 2]);
        assert_eq!(input.column(1)[0][0], 7);
        assert!(input.column(2).is_empty());
        assert_eq!((input.parameter(0), input.parameter(1)), (4, ABSENT));
    }
}
