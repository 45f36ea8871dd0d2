use super::*;

#[test]
fn tokens_cost_what_their_rate_says() {
    assert_eq!(tokens(50, 1), (TICKS_PER_SECOND / 50, TICKS_PER_SECOND));
    for rate in [1, 3, 7, 50, 999_983, u64::from(Limits::NEW_PER_SECOND_MAX), Limits::PACKETS_PER_SECOND_MAX]
    {
        let (cost, depth) = tokens(rate, 1);
        assert_eq!(depth / cost, rate, "a full bucket holds a second's worth");
        let error = (TICKS_PER_SECOND - depth) as f64 / TICKS_PER_SECOND as f64;
        assert!(error < 0.016, "{rate}: {error}");
    }
    let (cost, depth) = tokens(1_000_000_000, 12_000);
    assert_eq!((cost, depth), (12_000 * TICKS_PER_SECOND / 1_000_000_000, TICKS_PER_SECOND));
    // The longest frame is never longer than the bucket.
    let (cost, depth) = tokens(Limits::BITS_PER_SECOND_MIN, 16_384 * 8);
    assert_eq!(cost, depth);
}

#[test]
fn what_a_session_holds_is_kept_apart() {
    let mut held = Held::default();
    assert!(held.is_empty());
    let place = Place::from_number(7).unwrap();
    held.set_part(Kind::Bits, Some(place));
    held.set_life(Port::Wan, place);
    held.set_metered_by(Some(RuleId(999_999)));
    assert_eq!(held.part(Kind::Bits), Some(place));
    assert_eq!((held.life(Port::Lan), held.life(Port::Wan)), (None, Some(place)));
    assert_eq!(held.metered_by(), Some(RuleId(999_999)));
    assert_eq!(held.places().count(), 2);
    let bare = held.without_parts();
    assert_eq!((bare.places().count(), bare.metered_by()), (1, None));
    let mut all = AllHeld::new(4);
    all.set(2, held);
    all.set(2, bare);
    assert!(!all.is_empty() && all.get(2) == bare && all.get(1).is_empty());
    all.set(2, Held::default());
    assert!(all.is_empty());
}
