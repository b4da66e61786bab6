//! What every service of the crate writes down the same way.

/// The accessors of a service with a field `inner`.
macro_rules! inner_service_accessors {
    () => {
        /// The service below.
        pub fn get_ref(&self) -> &S {
            &self.inner
        }

        /// The service below, mutably.
        pub fn get_mut(&mut self) -> &mut S {
            &mut self.inner
        }

        /// The service below, without this one.
        pub fn into_inner(self) -> S {
            self.inner
        }
    };
}
